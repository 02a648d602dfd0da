# SPDX-License-Identifier: Apache-2.0
"""What goes over the wire in the handshake of the NBD protocol, written from its specification (doc/proto.md of the
nbd project). A Connection sends anything, also what is wrong, and accepts only what the specification allows."""
import socket
import struct

IHAVEOPT = b"IHAVEOPT"
OPTION_REPLY_MAGIC = 0x3E889045565A9

# Handshake flags of the server, and of the client.
FIXED_NEWSTYLE, NO_ZEROES = 1, 2

OPT_EXPORT_NAME, OPT_ABORT, OPT_LIST, OPT_PEEK_EXPORT, OPT_STARTTLS, OPT_INFO, OPT_GO = 1, 2, 3, 4, 5, 6, 7
OPT_STRUCTURED_REPLY, OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT, OPT_EXTENDED_HEADERS = 8, 9, 10, 11

REP_ACK, REP_SERVER, REP_INFO, REP_META_CONTEXT = 1, 2, 3, 4
ERR = 1 << 31
ERR_UNSUP, ERR_POLICY, ERR_INVALID, ERR_PLATFORM, ERR_TLS_REQD = (ERR + n for n in range(1, 6))
ERR_UNKNOWN, ERR_SHUTDOWN, ERR_BLOCK_SIZE_REQD, ERR_TOO_BIG, ERR_EXT_HEADER_REQD = (ERR + n for n in range(6, 11))

INFO_EXPORT, INFO_NAME, INFO_DESCRIPTION, INFO_BLOCK_SIZE = 0, 1, 2, 3

HAS_FLAGS, READ_ONLY, SEND_FLUSH, SEND_FUA, ROTATIONAL, SEND_TRIM, SEND_WRITE_ZEROES, SEND_DF, CAN_MULTI_CONN = (
    1 << bit for bit in range(9))
SEND_CACHE, SEND_FAST_ZERO, BLOCK_STATUS_PAYLOAD = 1 << 10, 1 << 11, 1 << 12

STRING_BYTES_MAX = 4096


class Wrong(Exception):
    """The server deviates from the specification."""


class LeftOut(Exception):
    """There is nothing to check: the export is not such, or the specification leaves it to the server."""


class NotOffered(LeftOut):
    """The server does not offer what a check is about."""


class Ended(Exception):
    """The server closed the connection."""


def expect(condition, *words):
    if not condition:
        raise Wrong(" ".join(str(word) for word in words))


def text(data, what):
    """A string of the protocol: UTF-8, no NUL, 4096 bytes at most."""
    expect(len(data) <= STRING_BYTES_MAX, what, "has", len(data), "bytes")
    expect(b"\0" not in data, what, "has a NUL:", data)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Wrong(f"{what} is not UTF-8: {data!r}") from None


class Connection:
    """One connection, before the greeting was read. `address` is a Unix socket's path or (host, port).
    A server that says nothing for `patience_s` is wrong: it has no reason to wait."""

    def __init__(self, address, patience_s):
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        # A socket with Python's timeout would not wait for a place in the queue of connections.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(patience_s), 0))
        self.socket.connect(address)
        self.socket.settimeout(patience_s)
        if not isinstance(address, str):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            raise Ended from None
        except TimeoutError:
            raise Wrong(f"the server takes no more than a part of {len(data)} bytes") from None

    def send_if_it_lives(self, data):
        """Sends what the server may have good reason not to wait for."""
        try:
            self.send(data)
        except Ended:
            pass

    def send_by_bytes(self, data):
        for at in range(len(data)):
            self.send(data[at:at + 1])

    def no_more(self):
        """The client's half is closed: the server sees the end of the stream."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def receive(self, count):
        data = bytearray(count)
        view, have = memoryview(data), 0
        while have < count:
            try:
                part = self.socket.recv_into(view[have:])
            except ConnectionResetError:
                part = 0
            except TimeoutError:
                raise Wrong(f"silence, with {have} of {count} bytes received: {bytes(data[:have])[:64]!r}") from None
            if part == 0:
                if have:
                    raise Wrong(f"the connection ended in the middle of {count} bytes: {bytes(data[:have])[:64]!r}")
                raise Ended
            have += part
        return bytes(data)

    def expect_end(self):
        """The server closes the connection and sends nothing before."""
        try:
            byte = self.receive(1)
        except Ended:
            return
        raise Wrong(f"the connection goes on with {byte!r}")

    def expect_end_after_an_error(self):
        """The server closes the connection; an error reply may come before, since the specification does not say."""
        try:
            for _ in range(32 + 14 + STRING_BYTES_MAX):
                self.receive(1)
        except Ended:
            return
        raise Wrong("the connection goes on")

    # The handshake.

    def greet(self, client_flags=FIXED_NEWSTYLE | NO_ZEROES):
        """Reads the greeting, answers with flags; the server's flags."""
        magic, opt, flags = struct.unpack(">8s8sH", self.receive(18))
        expect(magic == b"NBDMAGIC" and opt == IHAVEOPT, "the greeting is", magic, opt)
        expect(flags & FIXED_NEWSTYLE, "the server is no fixed newstyle server: flags", hex(flags))
        expect(flags & ~(FIXED_NEWSTYLE | NO_ZEROES) == 0, "unknown handshake flags", hex(flags))
        if client_flags is not None:
            self.send(struct.pack(">I", client_flags))
        return flags

    def send_option(self, option, data=b"", length=None):
        self.send(option_bytes(option, data, length))

    def option_reply(self, option):
        magic, echoed, kind, length = struct.unpack(">QIII", self.receive(20))
        expect(magic == OPTION_REPLY_MAGIC, "magic of an option reply:", hex(magic))
        expect(echoed == option, "a reply to option", echoed, "instead of", option)
        expect(length <= 1 << 20, "an option reply of", length, "bytes")
        data = self.receive(length) if length else b""
        if kind == REP_ACK:
            expect(not data, "ACK has data", data)
        if kind & ERR:
            text(data, "an error message")
        return kind, data

    def option(self, option, data=b"", length=None):
        """Sends an option; the replies before the last, and the kind of the last: ACK or an error."""
        self.send_option(option, data, length)
        return self.option_replies(option)

    def option_replies(self, option):
        before = []
        while True:
            kind, data = self.option_reply(option)
            if kind == REP_ACK or kind & ERR:
                return before, kind
            before.append((kind, data))

    def refuses(self, option, data, *errors, length=None):
        """The option is answered by one of these errors and nothing else, and haggling goes on."""
        before, kind = self.option(option, data, length)
        expect(kind in errors, "the answer is", rep_name(kind), "instead of", " or ".join(map(rep_name, errors)))
        expect(not before, "replies before the error:", before)
        self.still_haggles()

    def acknowledges(self, option, data=b""):
        before, kind = self.option(option, data)
        expect(kind == REP_ACK and not before, "the answer is", before, rep_name(kind), "instead of ACK")

    def still_haggles(self):
        before, kind = self.option(OPT_LIST)
        expect(kind == REP_ACK and before, "LIST is answered by", before, rep_name(kind))

    def list(self):
        """{name: description} of all exports."""
        before, kind = self.option(OPT_LIST)
        expect(kind == REP_ACK, "LIST ends with", rep_name(kind))
        exports = {}
        for kind, data in before:
            expect(kind == REP_SERVER and len(data) >= 4, "LIST is answered by", rep_name(kind), data)
            length = struct.unpack(">I", data[:4])[0]
            expect(length <= len(data) - 4, "a name of", length, "bytes in", len(data))
            name = text(data[4:4 + length], "the name of an export")
            expect(name not in exports, "listed twice:", name)
            exports[name] = text(data[4 + length:], "the description of an export")
        return exports

    def info(self, option, name, requests=()):
        """INFO or GO: (items by type, kind of the last reply). Items are judged by their form."""
        before, kind = self.option(option, info_data(name, requests))
        items = {}
        for reply, data in before:
            expect(reply == REP_INFO and len(data) >= 2, "INFO or GO is answered by", rep_name(reply), data)
            item = struct.unpack(">H", data[:2])[0]
            expect(item not in items, "information item", item, "comes twice")
            items[item] = data[2:]
        if kind == REP_ACK:
            expect(INFO_EXPORT in items, "ACK without NBD_INFO_EXPORT")
        for item, lengths in (INFO_EXPORT, 10), (INFO_BLOCK_SIZE, 12):
            expect(item not in items or len(items[item]) == lengths, "item", item, "is", items.get(item))
        for item in INFO_NAME, INFO_DESCRIPTION:
            text(items.get(item, b""), f"information item {item}")
        return items, kind

    def meta(self, option, name, queries):
        """LIST_ or SET_META_CONTEXT: ([(id, context)], kind of the last reply)."""
        before, kind = self.option(option, meta_data(name, queries))
        contexts = []
        for reply, data in before:
            expect(reply == REP_META_CONTEXT and len(data) > 4, "a context is told by", rep_name(reply), data)
            context = text(data[4:], "the name of a context")
            expect(":" in context[1:], "a context without a namespace:", context)
            contexts.append((struct.unpack(">I", data[:4])[0], context))
        names = [context for _, context in contexts]
        expect(len(set(names)) == len(names), "a context comes twice:", names)
        return contexts, kind


def option_bytes(option, data=b"", length=None):
    return IHAVEOPT + struct.pack(">II", option, len(data) if length is None else length) + data


def info_data(name, requests=()):
    name = name if isinstance(name, bytes) else name.encode()
    return struct.pack(">I", len(name)) + name + struct.pack(f">H{len(requests)}H", len(requests), *requests)


def meta_data(name, queries):
    name = name if isinstance(name, bytes) else name.encode()
    data = struct.pack(">I", len(name)) + name + struct.pack(">I", len(queries))
    for query in queries:
        query = query if isinstance(query, bytes) else query.encode()
        data += struct.pack(">I", len(query)) + query
    return data


def rep_name(kind):
    names = {value: name for name, value in globals().items() if name.startswith(("REP_", "ERR_"))}
    return names.get(kind, hex(kind))
