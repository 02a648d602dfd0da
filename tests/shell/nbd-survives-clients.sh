#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need nbdkit nbdinfo python3

truncate -s 15T sparse.raw
make_disk random disk.raw
serve_nbd sparse.raw disk.raw

# A client of a few lines, since no other asks for such things: fixed newstyle, structured replies, base:allocation.
cat >client.py <<'PYTHON'
import socket, struct, sys
class Client:
    def __init__(self, path, name):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        name, context = name.encode(), b"base:allocation"
        self.get(18)
        self.socket.sendall(struct.pack(">I", 3))
        self.option(8, b"")
        self.option(10, struct.pack(">I", len(name)) + name + struct.pack(">II", 1, len(context)) + context)
        self.option(7, struct.pack(">I", len(name)) + name + struct.pack(">H", 0))
    def get(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            assert part, "the server hung up"
            data += part
        return data
    def option(self, number, payload):
        self.socket.sendall(b"IHAVEOPT" + struct.pack(">II", number, len(payload)) + payload)
        while True:
            magic, echoed, kind, length = struct.unpack(">QIII", self.get(20))
            self.get(length)
            assert kind < 2**31, hex(kind)
            if kind == 1: return  # ACK
    def ask(self, command, flags, offset, length):
        """The kind and the payload of the reply, which has one chunk."""
        self.socket.sendall(struct.pack(">IHHQQI", 0x25609513, flags, command, 1, offset, length))
        magic, reply_flags, kind, cookie, length = struct.unpack(">IHHQI", self.get(20))
        assert magic == 0x668e33ef, hex(magic)
        return kind, self.get(length)
PYTHON

claim "a block status request of 4 GiB - 1 over a huge hole is answered"
python3 - "$socket" <<'PYTHON'
import struct, sys
from client import Client
asked = 2**32 - 1
for flags in 0, 8:  # all extents, or one
    kind, payload = Client(sys.argv[1], "sparse").ask(7, flags, 0, asked)
    context, described, status = struct.unpack(">III", payload)
    assert kind == 5 and 0 < described <= asked and status == 3, (kind, described, status)
PYTHON
[ "$(nbdinfo --size "$(uri sparse)")" = $((15 << 40)) ] || die "the server is gone"

claim "an image that shrinks while it is served gives EIO where it ends, not zeros"
python3 - "$socket" <<'PYTHON'
import os, struct, sys
from client import Client
client = Client(sys.argv[1], "disk")
os.truncate("disk.raw", 1 << 20)
kind, payload = client.ask(0, 0, 50 << 20, 4096)
assert kind == 0x8001 and struct.unpack(">I", payload[:4])[0] == 5, (hex(kind), payload)
kind, payload = client.ask(7, 0, 50 << 20, 1 << 20)
context, described, status = struct.unpack(">III", payload)
assert (described, status) == (1 << 20, 0), (described, status)
PYTHON
grep -q "disk.raw: read 4096 bytes at offset" "$scratch/nbd0.log" || die "no reason in the log"
nbdinfo --size "$(uri sparse)" >/dev/null
