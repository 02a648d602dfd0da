#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes to a disk and promises what was flushed, for tests/powercut and tests/crash.

    nbd_promises.py work|work-careless NBD-URI COUNT    COUNT writes; a line for each flush or write with FUA that was answered
    nbd_promises.py check FILE|NBD-URI                  every write promised in $PROMISES is there, or a later one in its place

Writes are of one block of 4096 bytes, whose sectors of 512 each tell the write's number, for a cut may be between them. Some
are in flight at once; $RUN (1 unless given) tells those of several runs apart.
"flushed N" promises all of this run up to N, "durable N" the one. -careless: promises without the flush and the FUA.
"""
import hashlib
import os
import random
import sys

import nbd

BLOCK_BYTES, BLOCKS, SECTOR_BYTES = 4096, 64, 512
RUN_SIZE = 1000000
AT_ONCE_MAX = 6


def place(number):
    return hashlib.sha256(b"%d" % number).digest()[0] % BLOCKS


def sector(number, offset):
    return number.to_bytes(8, "big") + hashlib.shake_128(b"%d %d" % (number, offset)).digest(SECTOR_BYTES - 8)


def content(number):
    return b"".join(sector(number, offset) for offset in range(0, BLOCK_BYTES, SECTOR_BYTES))


def work(uri, count, careful):
    disk = nbd.NBD()
    disk.connect_uri(uri)
    draw = random.Random(int(os.environ.get("SEED", "1")))
    first = int(os.environ.get("RUN", "1")) * RUN_SIZE + 1
    number = first
    while number < first + count:
        if draw.random() < 0.3:
            disk.pwrite(content(number), place(number) * BLOCK_BYTES, nbd.CMD_FLAG_FUA if careful else 0)
            print("durable", number, flush=True)
            number += 1
            continue
        # Of places that differ: what comes of two writes to one place at once is anybody's guess.
        batch = {}
        for one in range(number, number + draw.randint(1, AT_ONCE_MAX)):
            if place(one) in batch:
                break
            batch[place(one)] = one
        buffers = [(at, nbd.Buffer.from_bytearray(bytearray(content(one)))) for at, one in batch.items()]
        cookies = [disk.aio_pwrite(buffer, at * BLOCK_BYTES) for at, buffer in buffers]
        for cookie in cookies:
            while not disk.aio_command_completed(cookie):
                disk.poll(-1)
        number += len(batch)
        if draw.random() < 0.6:
            if careful:
                disk.flush()
            print("flushed", number - 1, flush=True)
    disk.shutdown()


def promised():
    """Of each block the highest number that was promised."""
    least = {}
    with open(os.environ["PROMISES"]) as file:
        for line in file:
            kind, last = line.split()
            last = int(last)
            first = last if kind == "durable" else last // RUN_SIZE * RUN_SIZE + 1
            for number in range(first, last + 1):
                least[place(number)] = max(number, least.get(place(number), 0))
    return least


def read_all(disk):
    size = BLOCKS * BLOCK_BYTES
    if "://" not in disk:
        if not os.path.exists(disk):
            return bytes(size)
        with open(disk, "rb") as file:
            return file.read(size).ljust(size, b"\0")
    handle = nbd.NBD()
    handle.connect_uri(disk)
    return bytes(handle.pread(size, 0))


def check(disk):
    data, least, wrong = read_all(disk), promised(), []
    for begin in range(0, len(data), SECTOR_BYTES):
        at, offset = divmod(begin, BLOCK_BYTES)
        found = data[begin:begin + SECTOR_BYTES]
        number = int.from_bytes(found[:8], "big")
        if any(found) and (found != sector(number, offset) or place(number) != at):
            wrong.append(f"the sector at {begin} is of no write")
        elif number < least.get(at, 0):
            wrong.append(f"lost: the sector at {begin} is of write {number}, but {least[at]} was promised")
    return "\n".join(wrong)


if sys.argv[1] == "check":
    sys.exit(check(sys.argv[2]) or 0)
work(sys.argv[2], int(sys.argv[3]), sys.argv[1] == "work")
