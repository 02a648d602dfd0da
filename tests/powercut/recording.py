# SPDX-License-Identifier: Apache-2.0
"""A recording: what a workload wrote below its file system, and what it had promised by when. Not thread-safe.

    kind        the file system's kind
    base.img    the disk before anything was written: an empty file system
    writes.log  records one after the other: offset (8 bytes), length (4), kind (4), all little-endian; after those of
                kind 1 (write) and 4 (promise, a line of the workload) their bytes; 2 is zeros or trim, 3 a flush

A position is a number of records: at position P, the records below P had been given to the disk, or promised by the
workload, and the others had not.
"""
import os
import struct

RECORD = struct.Struct("<QII")
WRITE, ZERO, FLUSH, PROMISE = 1, 2, 3, 4


class Recording:
    def __init__(self, folder):
        self.folder = folder
        self.base = os.path.join(folder, "base.img")
        with open(os.path.join(folder, "kind")) as file:
            self.kind = file.read().strip()
        with open(os.path.join(folder, "writes.log"), "rb") as log:
            self.log = log.read()
        self.records = []  # kind, offset, length, where in the log the bytes are
        at = 0
        while at < len(self.log):
            offset, length, kind = RECORD.unpack_from(self.log, at)
            at += RECORD.size
            self.records.append((kind, offset, length, at))
            at += length if kind in (WRITE, PROMISE) else 0

    def promised(self, position):
        """The lines promised by then."""
        return [self.log[at:at + length].decode() for kind, _, length, at in self.records[:position] if kind == PROMISE]

    def flushed(self, position):
        """The position of the last flush that was done: everything below it is on the disk, come what may."""
        while position > 0 and self.records[position - 1][0] != FLUSH:
            position -= 1
        return position

    def ends_of_epochs(self):
        """The last position before each flush that has something to flush, and the end: where most is promised of the
        flush before."""
        ends, written = [], False
        for position, record in enumerate(self.records):
            if record[0] in (WRITE, ZERO):
                written = True
            elif record[0] == FLUSH and written:
                ends.append(position)
                written = False
        return ends + [len(self.records)]

    def writes(self, begin, end):
        """The numbers of the records between two positions that change the disk."""
        return [number for number in range(begin, end) if self.records[number][0] in (WRITE, ZERO)]

    def pieces(self, number, unit):
        """Record NUMBER, which changes the disk, as (offset, bytes), cut where a unit ends."""
        kind, offset, length, at = self.records[number]
        end = offset + length
        while offset < end:
            part = min(end, (offset // unit + 1) * unit) - offset
            yield offset, self.log[at:at + part] if kind == WRITE else bytes(part)
            offset, at = offset + part, at + part

    def apply(self, number, image):
        """Does record NUMBER to an image, a file descriptor."""
        for offset, data in self.pieces(number, 1 << 20):
            os.pwrite(image, data, offset)
