#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Random I/O on a disk, checked against a model in memory: disk_fsx.py [OPTION...] FILE|NBD-URI

Writes over it. As fsx does for files: reads, writes, zeros and trims of any alignment that the disk takes, flushes, FUA, and
closing and opening again; of an NBD server several at once, of places that do not overlap. What was trimmed may read as it
was before or as zeros. The first wrong byte, or an error, ends it with 1, and tells seed and operation.
"""
import argparse
import ctypes
import errno
import os
import random
import sys

KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
WEIGHTS = {"read": 40, "write": 40, "zero": 8, "trim": 7, "flush": 4, "reopen": 1}
# Where things begin and end, most likely: next to borders of pages, blocks and clusters.
BORDERS = (512, 4096, 65536, 1 << 20)
CHUNK_BYTES = 4096


class File:
    minimum, length_max, at_once = 1, 1 << 30, 1

    def __init__(self, path):
        self.path = path
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
        self.open()
        self.size = os.lseek(self.file, 0, os.SEEK_END)
        self.does = {"read", "write", "flush", "reopen"}
        self.does |= {name for name, mode in (("zero", ZERO_RANGE), ("trim", PUNCH_HOLE)) if self.offers(mode)}

    def open(self):
        self.file = os.open(self.path, os.O_RDWR)

    def close(self):
        os.close(self.file)

    def allocate(self, mode, offset, length):
        if self.libc.fallocate(self.file, mode | KEEP_SIZE, offset, length):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def offers(self, mode):
        try:
            self.allocate(mode, 0, min(self.size, 4096))
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS):
                return False
            raise
        return True

    def run(self, operations):
        for one in operations:
            if one.name == "read":
                one.got = os.pread(self.file, one.length, one.offset)
            elif one.name == "write":
                if os.pwrite(self.file, one.data, one.offset) != one.length:
                    raise OSError("the write was short")
            elif one.name == "zero":
                self.allocate(ZERO_RANGE, one.offset, one.length)
            elif one.name == "trim":
                self.allocate(PUNCH_HOLE, one.offset, one.length)
            if one.name == "flush" or one.durable:
                os.fdatasync(self.file)


class Nbd:
    at_once = 8

    def __init__(self, uri):
        import nbd
        self.nbd, self.uri = nbd, uri
        self.open()
        self.size = self.handle.get_size()
        self.minimum = max(1, self.handle.get_block_size(nbd.SIZE_MINIMUM))
        self.length_max = self.handle.get_block_size(nbd.SIZE_MAXIMUM) or 32 << 20
        offers = {"zero": self.handle.can_zero(), "trim": self.handle.can_trim(), "flush": self.handle.can_flush()}
        self.does = {"read", "write", "reopen"} | {name for name, offered in offers.items() if offered}
        self.fua = self.nbd.CMD_FLAG_FUA if self.handle.can_fua() else 0

    def open(self):
        self.handle = self.nbd.NBD()
        self.handle.connect_uri(self.uri)

    def close(self):
        self.handle.shutdown()

    def start(self, one):
        flags = self.fua if one.durable else 0
        if one.name == "read":
            one.buffer = self.nbd.Buffer(one.length)
            return self.handle.aio_pread(one.buffer, one.offset)
        if one.name == "write":
            return self.handle.aio_pwrite(self.nbd.Buffer.from_bytearray(bytearray(one.data)), one.offset, flags=flags)
        if one.name == "zero":
            return self.handle.aio_zero(one.length, one.offset, flags=flags | (self.nbd.CMD_FLAG_NO_HOLE if one.keep else 0))
        if one.name == "trim":
            return self.handle.aio_trim(one.length, one.offset, flags=flags)
        return self.handle.aio_flush()

    def run(self, operations):
        cookies = [self.start(one) for one in operations]
        for one, cookie in zip(operations, cookies):
            while not self.handle.aio_command_completed(cookie):
                self.handle.poll(-1)
            if one.name == "read":
                one.got = bytes(one.buffer.to_bytearray())


class Operation:
    def __init__(self, name, offset, length, draw):
        self.name, self.offset, self.length = name, offset, length
        self.data = draw.randbytes(length) if name == "write" else b""
        self.durable = name in ("write", "zero", "trim") and draw.random() < 0.1
        self.keep = draw.random() < 0.5

    def overlaps(self, other):
        return self.offset < other.offset + other.length and other.offset < self.offset + self.length

    def __str__(self):
        return f"{self.name} of {self.length} bytes at offset {self.offset}"


class Model:
    def __init__(self, data):
        self.data = bytearray(data)
        self.trimmed = bytearray(len(data))  # 1: may be zero as well

    def wrong(self, one):
        """The first byte that may not be as it was read: its offset, what it is, what it should be."""
        wanted = self.data[one.offset:one.offset + one.length]
        if one.got == wanted:
            return None
        if len(one.got) != one.length:
            return f"{len(one.got)} bytes came"
        may_be_zero = self.trimmed[one.offset:one.offset + one.length]
        for begin in range(0, one.length, CHUNK_BYTES):
            chunk = slice(begin, begin + CHUNK_BYTES)
            if one.got[chunk] == wanted[chunk]:  # in one go, for bytes are slow
                continue
            for at, (got, want) in enumerate(zip(one.got[chunk], wanted[chunk]), begin):
                if got != want and not (got == 0 and may_be_zero[at]):
                    return f"byte at offset {one.offset + at} is {got:#04x}, not {want:#04x}"
        return None

    def apply(self, one):
        if one.name in ("write", "zero"):
            self.data[one.offset:one.offset + one.length] = one.data or bytes(one.length)
            self.trimmed[one.offset:one.offset + one.length] = bytes(one.length)
        elif one.name == "trim":
            self.trimmed[one.offset:one.offset + one.length] = b"\1" * one.length


def some_place(draw, minimum, size, length_max):
    """Offset and length, multiples of the least block; short ones are as likely as long ones."""
    length = int(min(size, length_max) ** draw.random())
    offset = draw.randrange(size)
    kind = draw.random()
    if kind < 0.5:
        offset = offset // (border := draw.choice(BORDERS)) * border + draw.choice((0, 0, 0, -1, 1, -512, 512))
        if kind < 0.25:
            length = (length + border - 1) // border * border
    elif kind < 0.55:
        offset = size - length
    length = max(minimum, min(length, length_max, size) // minimum * minimum)
    return max(0, min(offset, size - length)) // minimum * minimum, length


def some_operations(draw, disk, size, length_max):
    """One that stands alone, or some that do not overlap."""
    names = [name for name in WEIGHTS if name in disk.does]
    operations = []
    for _ in range(draw.randint(1, disk.at_once)):
        name, = draw.choices(names, [WEIGHTS[name] for name in names])
        if name == "reopen":
            return operations or [Operation(name, 0, 0, draw)]
        place = (0, 0) if name == "flush" else some_place(draw, disk.minimum, size, length_max)
        one = Operation(name, *place, draw)
        if not any(one.overlaps(other) for other in operations):
            operations.append(one)
    return operations


def main():
    parser = argparse.ArgumentParser(usage="disk_fsx.py [OPTION...] FILE|NBD-URI")
    parser.add_argument("--operations", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--size", type=int, help="bytes of the disk to work on, from its beginning; all unless given")
    parser.add_argument("--length-max", type=int, default=1 << 20, help="bytes of an operation at most")
    parser.add_argument("disk", metavar="FILE|NBD-URI")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    disk = Nbd(options.disk) if options.disk.startswith("nbd") and "://" in options.disk else File(options.disk)
    size = min(options.size or disk.size, disk.size) // disk.minimum * disk.minimum
    length_max = min(options.length_max, disk.length_max)
    print(f"{options.disk}: {size} bytes, seed {options.seed}, {', '.join(sorted(disk.does))}", flush=True)

    def whole():
        return [Operation("read", at, min(length_max, size - at), draw) for at in range(0, size, length_max)]

    begin = whole()
    for one in begin:
        disk.run([one])
    model = Model(b"".join(one.got for one in begin))
    done = 0
    # At the end all is read, through a new connection.
    end = [[Operation("reopen", 0, 0, draw)]] + [[one] for one in whole()]
    while done < options.operations or end:
        operations = some_operations(draw, disk, size, length_max) if done < options.operations else end.pop(0)
        try:
            if operations[0].name == "reopen":
                disk.close()
                disk.open()
            else:
                disk.run(operations)
        except Exception as error:
            sys.exit(f"seed {options.seed}, operation {done}, {', '.join(map(str, operations))}: {error}")
        for one in operations:
            wrong = model.wrong(one) if one.name == "read" else None
            if wrong:
                sys.exit(f"seed {options.seed}, operation {done}, {one}: {wrong}")
            model.apply(one)
            done += 1
    print(f"{done} operations, all as they should be")


main()
