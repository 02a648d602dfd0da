# SPDX-License-Identifier: Apache-2.0
"""nbdkit plugin: serves a disk image, and logs all writes, zeros and flushes in the order in which they are done.

    nbdkit python recorder.py base=IMAGE log=FILE promises=FIFO

The image stays as it is: what is written is kept in memory, and in the log, whose format is in recording.py. A record is in
the log before its request is answered. Lines that come from the FIFO are logged too, each before any request that came
after it: whoever reads the log knows what had been promised when a request was made, however slow this program is.
"""
import fcntl
import mmap
import os
import struct

import nbdkit

API_VERSION = 2
RECORD = struct.Struct("<QII")
WRITE, ZERO, FLUSH, PROMISE = 1, 2, 3, 4
FIFO_BYTES = 1 << 20

paths = {}
disk = log = fifo = None
unfinished = b""


def config(key, value):
    paths[key] = value


def thread_model():
    return nbdkit.THREAD_MODEL_SERIALIZE_ALL_REQUESTS


def get_ready():
    global disk, log, fifo
    disk = mmap.mmap(os.open(paths["base"], os.O_RDONLY), 0, access=mmap.ACCESS_COPY)
    log = os.open(paths["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
    fifo = os.open(paths["promises"], os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(fifo, fcntl.F_SETPIPE_SZ, FIFO_BYTES)


def open(readonly):
    return 1


def get_size(handle):
    return len(disk)


def can_fua(handle):
    return nbdkit.FUA_EMULATE


def log_promises():
    global unfinished
    try:
        *lines, unfinished = (unfinished + os.read(fifo, FIFO_BYTES)).split(b"\n")
    except BlockingIOError:
        return
    for line in lines:
        append(PROMISE, 0, len(line), line)


def log_request(kind, offset, length, data=b""):
    log_promises()
    append(kind, offset, length, data)


def append(kind, offset, length, data):
    if os.writev(log, [RECORD.pack(offset, length, kind), data]) != RECORD.size + len(data):
        raise OSError("the log of writes is cut short")


def pread(handle, buf, offset, flags):
    buf[:] = disk[offset:offset + len(buf)]


def pwrite(handle, buf, offset, flags):
    log_request(WRITE, offset, len(buf), buf)
    disk[offset:offset + len(buf)] = bytes(buf)


def zero(handle, count, offset, flags):
    log_request(ZERO, offset, count)
    disk[offset:offset + count] = bytes(count)


def trim(handle, count, offset, flags):
    zero(handle, count, offset, flags)


def flush(handle, flags):
    log_request(FLUSH, 0, 0)
