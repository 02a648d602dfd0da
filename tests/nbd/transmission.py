# SPDX-License-Identifier: Apache-2.0
"""The transmission phase of the NBD protocol: requests in any form, replies judged by the specification.

A mode is how requests and replies look: "simple", "structured" (compact headers, structured replies) or "extended"."""
import struct
import threading

from wire import Ended, Wrong, expect, text

MODES = "simple", "structured", "extended"

REQUEST_MAGIC, EXTENDED_REQUEST_MAGIC = 0x25609513, 0x21E41C71
SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC, EXTENDED_REPLY_MAGIC = 0x67446698, 0x668E33EF, 0x6E8A278C

READ, WRITE, DISC, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS, RESIZE = range(9)
FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO, PAYLOAD_LEN = (1 << bit for bit in range(6))

DONE = 1
NONE, OFFSET_DATA, OFFSET_HOLE, STATUS, STATUS_EXT, ERROR, ERROR_OFFSET = 0, 1, 2, 5, 6, 0x8001, 0x8002

EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP, ESHUTDOWN = 1, 5, 12, 22, 28, 75, 95, 108
ERRORS = EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP, ESHUTDOWN

STATE_HOLE, STATE_ZERO = 1, 2


class Request:
    """What was asked. In extended mode a WRITE gets the flag PAYLOAD_LEN, unless `raw_flags`."""

    def __init__(self, command, offset=0, length=0, flags=0, payload=b"", cookie=None, raw_flags=False, magic=None):
        self.command, self.offset, self.length, self.flags = command, offset, length, flags
        self.payload, self.cookie, self.raw_flags, self.magic = payload, cookie, raw_flags, magic

    def encode(self, mode):
        magic = self.magic or (EXTENDED_REQUEST_MAGIC if mode == "extended" else REQUEST_MAGIC)
        flags = self.flags
        if mode == "extended" and self.command == WRITE and not self.raw_flags:
            flags |= PAYLOAD_LEN
        head = struct.pack(">IHHQQ", magic, flags, self.command, self.cookie, self.offset)
        return head + struct.pack(">Q" if mode == "extended" else ">I", self.length) + self.payload


def read(offset, length, flags=0, **more):
    return Request(READ, offset, length, flags, **more)


def write(offset, payload, flags=0, **more):
    return Request(WRITE, offset, len(payload), flags, payload, **more)


class Reply:
    """A whole reply. `error` is 0 or the first error; `data` what a READ read; `status` {context id: extents}."""

    def __init__(self, request):
        self.request, self.error, self.data, self.status = request, 0, None, {}
        self.covered = []  # (begin, end) of content and error chunks
        self.content_chunks = 0
        self.general_error = False

    def cover(self, begin, end):
        request = self.request
        expect(request.offset <= begin and end <= request.offset + request.length,
               "a chunk of", begin, "to", end, "outside the request of", request.offset, "+", request.length)
        for other_begin, other_end in self.covered:
            expect(end <= other_begin or other_end <= begin, "chunks overlap at", begin, "to", end)
        self.covered.append((begin, end))


class Transmission:
    """The transmission phase on a connection. `size` is the export's, `contexts` {id: name}."""

    def __init__(self, connection, mode, size, flags, contexts, payload_bytes_max):
        self.connection, self.mode, self.size, self.flags, self.contexts = connection, mode, size, flags, contexts
        self.payload_bytes_max = payload_bytes_max
        self.next_cookie = 0x0123456789ABCDEF
        self.waiting = {}  # cookie: [Reply], in the order asked

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.socket.close()

    def encode(self, *requests):
        """The bytes of requests that will be answered."""
        out = []
        for request in requests:
            if request.cookie is None:
                self.next_cookie = (self.next_cookie + 0x9E3779B97F4A7C15) % 2**64
                request.cookie = self.next_cookie
            out.append(request.encode(self.mode))
            if request.command != DISC:
                self.waiting.setdefault(request.cookie, []).append(Reply(request))
        return b"".join(out)

    def ask(self, *requests):
        """Sends all requests at once, receives all replies; in the order of the requests."""
        data = self.encode(*requests)
        if len(data) < 64 << 10:
            self.connection.send(data)
            return self.replies(requests)
        sender = threading.Thread(target=self.connection.send_if_it_lives, args=(data,))
        sender.start()
        try:
            return self.replies(requests)
        finally:
            sender.join()

    def one(self, request):
        return self.ask(request)[0]

    def replies(self, requests):
        got = []
        while self.waiting:
            got.append(self.reply())
        order = {id(request): place for place, request in enumerate(requests)}
        return sorted(got, key=lambda reply: order.get(id(reply.request), -1))

    def reply(self):
        """The next reply that is complete; chunks of several may be mixed."""
        while True:
            magic = struct.unpack(">I", self.connection.receive(4))[0]
            if magic == SIMPLE_REPLY_MAGIC:
                done = self.simple_reply()
            else:
                expected = {"structured": STRUCTURED_REPLY_MAGIC, "extended": EXTENDED_REPLY_MAGIC}.get(self.mode)
                expect(magic == expected, "magic of a reply:", hex(magic))
                done = self.chunk()
            if done:
                return done

    def find(self, cookie):
        expect(cookie in self.waiting, "a reply to cookie", hex(cookie), "which does not wait for one")
        return self.waiting[cookie][0]

    def finish(self, reply):
        same = self.waiting[reply.request.cookie]
        same.remove(reply)
        if not same:
            del self.waiting[reply.request.cookie]
        return reply

    def simple_reply(self):
        error, cookie = struct.unpack(">IQ", self.connection.receive(12))
        reply = self.find(cookie)
        expect(self.mode != "extended", "a simple reply with extended headers")
        expect(self.mode == "simple" or reply.request.command != READ, "a simple reply to READ")
        expect(error in (0, *ERRORS), "error number", error)
        reply.error = error
        if reply.request.command == READ and error == 0:
            reply.data = self.connection.receive(reply.request.length) if reply.request.length else b""
        if reply.request.command == BLOCK_STATUS:
            expect(error, "BLOCK_STATUS succeeds in a simple reply")
        return self.finish(reply)

    def chunk(self):
        flags, kind, cookie = struct.unpack(">HHQ", self.connection.receive(12))
        reply = self.find(cookie)
        if self.mode == "extended":
            offset, length = struct.unpack(">QQ", self.connection.receive(16))
            expect(offset == reply.request.offset, "offset", offset, "in the reply to", reply.request.offset)
        else:
            length = struct.unpack(">I", self.connection.receive(4))[0]
        expect(flags & ~DONE == 0, "flags of a chunk:", hex(flags))
        expect(length <= self.payload_bytes_max + 4096 + 14, "a chunk of", length, "bytes")
        self.judge(reply, flags, kind, self.connection.receive(length) if length else b"")
        if not flags & DONE:
            return None
        if reply.request.command == READ and not reply.error:
            described = sum(end - begin for begin, end in reply.covered)
            expect(described == reply.request.length, described, "bytes answer a READ of", reply.request.length)
            reply.data = bytes(reply.data or b"")
        if reply.request.command == BLOCK_STATUS and not reply.error:
            wanted = reply.request.contexts if hasattr(reply.request, "contexts") else self.contexts
            expect(set(reply.status) == set(wanted), "contexts", set(reply.status), "instead of", set(wanted))
        return self.finish(reply)

    def judge(self, reply, flags, kind, payload):
        request = reply.request
        if kind == NONE:
            expect(not payload and flags & DONE, "chunk NONE has flags", flags, "and payload", payload)
        elif kind == OFFSET_DATA:
            expect(request.command == READ and len(payload) >= 9, "OFFSET_DATA of", len(payload), "bytes")
            self.content(reply, struct.unpack(">Q", payload[:8])[0], len(payload) - 8, payload[8:])
        elif kind == OFFSET_HOLE:
            expect(request.command == READ and len(payload) == 12, "OFFSET_HOLE of", len(payload), "bytes")
            offset, length = struct.unpack(">QI", payload)
            expect(length > 0, "a hole of no bytes")
            self.content(reply, offset, length, None)
        elif kind in (STATUS, STATUS_EXT):
            self.judge_status(reply, kind, payload)
        elif kind in (ERROR, ERROR_OFFSET):
            fixed = 6 if kind == ERROR else 14
            expect(len(payload) >= fixed, "an error chunk of", len(payload), "bytes")
            error, length = struct.unpack(">IH", payload[:6])
            expect(length == len(payload) - fixed, "an error message of", length, "bytes in", len(payload))
            expect(error in ERRORS, "error number", error)
            text(payload[6:6 + length], "an error message")
            expect(kind == ERROR_OFFSET or not reply.general_error, "a second error chunk without an offset")
            reply.general_error |= kind == ERROR
            if kind == ERROR_OFFSET:
                at = struct.unpack(">Q", payload[-8:])[0]
                expect(request.offset <= at < request.offset + max(request.length, 1), "an error at", at)
            reply.error = reply.error or error
        else:
            raise Wrong(f"a chunk of type {kind}")

    def content(self, reply, offset, length, data):
        reply.cover(offset, offset + length)
        reply.content_chunks += 1
        expect(reply.content_chunks == 1 or not reply.request.flags & DF, "several content chunks in spite of DF")
        reply.data = reply.data or bytearray(reply.request.length)
        if data is not None:
            at = offset - reply.request.offset
            reply.data[at:at + length] = data

    def judge_status(self, reply, kind, payload):
        request = reply.request
        expect(request.command == BLOCK_STATUS, "a status chunk for command", request.command)
        if kind == STATUS:
            expect(len(payload) >= 12 and len(payload) % 8 == 4, "a status chunk of", len(payload), "bytes")
            context, values = struct.unpack(">I", payload[:4])[0], struct.iter_unpack(">II", payload[4:])
        else:
            expect(self.mode == "extended", "a 64-bit status chunk without extended headers")
            expect(len(payload) >= 24 and len(payload) % 16 == 8, "a status chunk of", len(payload), "bytes")
            context, count = struct.unpack(">II", payload[:8])
            values = struct.iter_unpack(">QQ", payload[8:])
            expect(count in (0, len(payload) // 16), "count", count, "in a status chunk of", len(payload), "bytes")
        extents = list(values)
        expect(context in self.contexts, "status of context", context)
        expect(context not in reply.status, "two status chunks for context", context)
        expect(len(extents) <= 1 << 20, len(extents), "extents")
        expect(all(length > 0 for length, _ in extents), "an extent of no bytes")
        asked = getattr(request, "effect_length", request.length)
        described = sum(length for length, _ in extents)
        expect(described - extents[-1][0] < asked, "extents go on after the request's end:", extents[-3:])
        expect(request.offset + described <= self.size, "extents go on after the export's end:", extents[-3:])
        if request.flags & REQ_ONE:
            expect(len(extents) == 1 and described <= asked, "REQ_ONE is answered by", extents[:3])
        if self.contexts[context] == "base:allocation":
            expect(all(status <= 3 for _, status in extents), "unknown status bits:", extents[:3])
        reply.status[context] = extents

    # What checks ask for again and again.

    def reads(self, offset, length, flags=0):
        """The data; an error is wrong."""
        reply = self.one(read(offset, length, flags))
        expect(reply.error == 0, "READ of", offset, "+", length, "ends in error", reply.error)
        return reply.data

    def fails(self, request, *errors):
        reply = self.one(request)
        expect(reply.error in errors, "command", request.command, "flags", hex(request.flags), "at", request.offset,
               "+", request.length, "is answered by", reply.error, "instead of", " or ".join(map(str, errors)))
        return reply

    def succeeds(self, request):
        reply = self.one(request)
        expect(reply.error == 0, "command", request.command, "flags", hex(request.flags), "at", request.offset, "+",
               request.length, "ends in error", reply.error)
        return reply

    def disconnect(self):
        """A soft disconnect: no reply, the server closes."""
        self.connection.send(self.encode(Request(DISC, cookie=1)))
        self.connection.expect_end()

    def fails_or_ends(self, request, *errors):
        """True when the server answered with one of the errors, False when it ended the connection."""
        try:
            self.fails(request, *errors)
            return True
        except Ended:
            return False
