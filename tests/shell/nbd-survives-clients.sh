#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need nbdkit nbdinfo nbdcopy python3

truncate -s 15T sparse.raw
make_disk random disk.raw
serve_nbd sparse.raw disk.raw

claim "a block status request of 4 GiB - 1 over a huge hole is answered"
python3 - "$socket" <<'PYTHON'
# A client of a few lines, since no other asks for that much: fixed newstyle, structured replies, base:allocation.
import socket, struct, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
def get(count):
    data = b""
    while len(data) < count:
        part = client.recv(count - len(data))
        assert part, "the server hung up"
        data += part
    return data
def option(number, payload):
    client.sendall(b"IHAVEOPT" + struct.pack(">II", number, len(payload)) + payload)
    while True:
        magic, echoed, kind, length = struct.unpack(">QIII", get(20))
        get(length)
        assert kind < 2**31, hex(kind)
        if kind == 1: return  # ACK
get(18)
client.sendall(struct.pack(">I", 3))
option(8, b"")
name, context = b"sparse", b"base:allocation"
option(10, struct.pack(">I", len(name)) + name + struct.pack(">II", 1, len(context)) + context)
option(7, struct.pack(">I", len(name)) + name + struct.pack(">H", 0))
asked = 2**32 - 1
client.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 7, 1, 0, asked))
magic, flags, kind, cookie, length = struct.unpack(">IHHQI", get(20))
assert (magic, kind) == (0x668e33ef, 5), (hex(magic), kind)
context_id, described, status = struct.unpack(">III", get(12))
assert 0 < described <= asked and status == 3, (described, status)
PYTHON
[ "$(nbdinfo --size "$(uri sparse)")" = $((15 << 40)) ] || die "the server is gone"

claim "an image that shrinks gives an error where it ends, and the server lives"
truncate -s 1M disk.raw
! nbdcopy "$(uri disk)" copy.raw 2>said || die "the missing part was read"
nbdinfo --size "$(uri sparse)" >/dev/null
