# SPDX-License-Identifier: Apache-2.0
"""The server under test, and the checks there are."""
import struct
from collections import namedtuple

from transmission import MODES, Transmission
from wire import (FIXED_NEWSTYLE, INFO_BLOCK_SIZE, INFO_EXPORT, NO_ZEROES, OPT_EXTENDED_HEADERS, OPT_GO,
                  OPT_INFO, OPT_SET_META_CONTEXT, OPT_STRUCTURED_REPLY, REP_ACK, Connection, NotOffered,
                  expect, info_data, meta_data, option_bytes, rep_name)

Check = namedtuple("Check", "claim function writes mode")
CHECKS = []


def check(function):
    """A check; its name is the claim."""
    CHECKS.append(Check(function.__name__.replace("_", " "), function, False, None))
    return function


def in_modes(*modes, writes=False):
    """A check of the transmission phase, run once for each mode (all, when none is named)."""
    def add(function):
        claim = function.__name__.replace("_", " ")
        for mode in modes or MODES:
            CHECKS.append(Check(f"{claim} ({mode})", function, writes, mode))
        return function
    return add


class Server:
    """How to reach an export, and what is known about it. `raw` is a file with the same bytes; with `writable` it is
    the very file that is served."""

    def __init__(self, address, export, raw, writable, patience_s):
        self.address, self.export, self.raw, self.writable, self.patience_s = address, export, raw, writable, patience_s
        with self.greeted() as connection:
            items, kind = connection.info(OPT_INFO, export, [INFO_BLOCK_SIZE])
        expect(kind == REP_ACK, "INFO of the export ends with", rep_name(kind))
        self.size, self.flags = struct.unpack(">QH", items[INFO_EXPORT])
        self.block_sizes = struct.unpack(">III", items[INFO_BLOCK_SIZE]) if INFO_BLOCK_SIZE in items else None
        self.minimum = self.block_sizes[0] if self.block_sizes else 1
        self.payload_bytes_max = self.block_sizes[2] if self.block_sizes else 1 << 25

    def connection(self):
        return Connection(self.address, self.patience_s)

    def greeted(self, client_flags=FIXED_NEWSTYLE | NO_ZEROES):
        connection = self.connection()
        connection.greet(client_flags)
        return connection

    def negotiated(self, mode, contexts=()):
        """A connection in this mode, before GO; and the contexts it got, {id: name}."""
        connection = self.greeted()
        got = {}
        if mode == "structured":
            connection.acknowledges(OPT_STRUCTURED_REPLY)
        if mode == "extended":
            before, kind = connection.option(OPT_EXTENDED_HEADERS)
            if kind != REP_ACK:
                raise NotOffered("the server has no extended headers")
        if contexts:
            told, kind = connection.meta(OPT_SET_META_CONTEXT, self.export, contexts)
            expect(kind == REP_ACK, "SET_META_CONTEXT ends with", rep_name(kind))
            got = dict(told)
            expect(len(got) == len(told), "ids are not unique:", told)
        return connection, got

    def enter(self, mode, contexts=(), requests=(INFO_BLOCK_SIZE,)):
        """The transmission phase."""
        connection, got = self.negotiated(mode, contexts)
        items, kind = connection.info(OPT_GO, self.export, requests)
        expect(kind == REP_ACK, "GO ends with", rep_name(kind))
        size, flags = struct.unpack(">QH", items[INFO_EXPORT])
        return Transmission(connection, mode, size, flags, got, self.payload_bytes_max)

    def opening(self, mode, contexts=()):
        """All that a client sends until the transmission phase, as bytes."""
        out = struct.pack(">I", FIXED_NEWSTYLE | NO_ZEROES)
        if mode == "structured":
            out += option_bytes(OPT_STRUCTURED_REPLY)
        if mode == "extended":
            out += option_bytes(OPT_EXTENDED_HEADERS)
        if contexts:
            out += option_bytes(OPT_SET_META_CONTEXT, meta_data(self.export, contexts))
        return out + option_bytes(OPT_GO, info_data(self.export, [INFO_BLOCK_SIZE]))

    def content(self, offset, length):
        with open(self.raw, "rb") as file:
            file.seek(offset)
            return file.read(length)

    def matches(self, offset, data):
        """Whether the export holds these bytes there, as the raw file has them."""
        expected = self.content(offset, len(data))
        expected += bytes(len(data) - len(expected))  # a view may be padded with zeros
        if data != expected:
            first = next(at for at in range(len(data)) if data[at] != expected[at])
            expect(False, "byte", offset + first, "is", data[first], "instead of", expected[first])

    def aligned(self, value):
        return value // self.minimum * self.minimum

    def serves_others(self):
        """A fresh connection is greeted, sees the export and reads its first bytes."""
        with self.enter("simple") as fresh:
            expect(fresh.size == self.size, "the size changed from", self.size, "to", fresh.size)
            length = min(self.size, max(512, self.minimum))
            self.matches(0, fresh.reads(0, length))
            fresh.disconnect()
