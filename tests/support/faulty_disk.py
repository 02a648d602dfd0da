# SPDX-License-Identifier: Apache-2.0
"""nbdkit plugin: a disk in memory that now and then does something wrong, for tests of what has to find it.

    nbdkit python faulty_disk.py size=BYTES fault=none|write|lost|zero|trim|error

Every 50th write has one bit turned (write) or leaves zeros (lost); every 10th zeroing leaves its last byte; every 10th trim leaves neither what was there nor
zeros; every 100th read fails.
"""
import errno

import nbdkit

API_VERSION = 2

options = {"size": "0", "fault": "none"}
counts = {"read": 0, "write": 0, "zero": 0, "trim": 0}
EVERY = {"read": 100, "write": 50, "zero": 10, "trim": 10}
disk = bytearray()


def config(key, value):
    options[key] = value


def get_ready():
    disk.extend(bytes(int(options["size"])))


def open(readonly):
    return 1


def get_size(handle):
    return len(disk)


def can_fua(handle):
    return nbdkit.FUA_NATIVE


def due(operation, *faults):
    counts[operation] += 1
    return options["fault"] in faults and counts[operation] % EVERY[operation] == 0


def pread(handle, buf, offset, flags):
    if due("read", "error"):
        nbdkit.set_error(errno.EIO)
        raise OSError("this read fails")
    buf[:] = disk[offset:offset + len(buf)]


def pwrite(handle, buf, offset, flags):
    disk[offset:offset + len(buf)] = bytes(buf)
    if due("write", "write", "lost"):
        if options["fault"] == "write":
            disk[offset + len(buf) // 2] ^= 4
        else:
            disk[offset:offset + len(buf)] = bytes(len(buf))


def zero(handle, count, offset, flags):
    left = due("zero", "zero")
    disk[offset:offset + count - left] = bytes(count - left)


def trim(handle, count, offset, flags):
    if due("trim", "trim"):
        disk[offset:offset + count] = b"?" * count


def flush(handle, flags):
    pass
