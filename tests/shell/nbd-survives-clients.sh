#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need nbdkit nbdinfo python3 cc

truncate -s 15T sparse.raw
make_disk random disk.raw
serve_nbd sparse.raw disk.raw

# A client of a few lines, since no other asks for such things: fixed newstyle, structured replies, base:allocation.
cat >client.py <<'PYTHON'
import socket, struct
READ, WRITE, DISCONNECT, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS, RESIZE = range(9)
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
            if not part: raise EOFError("the server hung up")
            data += part
        return data
    def option(self, number, payload):
        self.socket.sendall(b"IHAVEOPT" + struct.pack(">II", number, len(payload)) + payload)
        while True:
            magic, echoed, kind, length = struct.unpack(">QIII", self.get(20))
            self.get(length)
            assert kind < 2**31, hex(kind)
            if kind == 1: return  # ACK
    @staticmethod
    def request(command, flags, offset, length):
        return struct.pack(">IHHQQI", 0x25609513, flags, command, 1, offset, length)
    def ask(self, command, flags, offset, length, payload=b""):
        """The kind and the payload of the reply, which has one chunk. A simple reply is put as if it were a chunk."""
        self.socket.sendall(self.request(command, flags, offset, length) + payload)
        magic = self.get(4)
        if magic == b"\x67\x44\x66\x98":
            error, cookie = struct.unpack(">4sQ", self.get(12))
            return (0x8001 if any(error) else 0), error
        assert magic == b"\x66\x8e\x33\xef", magic
        reply_flags, kind, cookie, length = struct.unpack(">HHQI", self.get(16))
        assert reply_flags == 1, reply_flags
        return kind, self.get(length)
    def read(self, offset, length):
        kind, payload = self.ask(READ, 0, offset, length)
        assert kind == 1, (kind, payload)  # an offset, then the bytes
        return payload[8:]
PYTHON

claim "a connection has one thread where nbdkit ends when a client leaves, many where it does not, and what is asked for"
thread_model() { nbdkit --dump-plugin "$plugin" "$@" | sed -n 's/^thread_model=//p'; }
# nbdkit 1.36 and later have this function; with the library any version looks like that to the plugin.
echo 'int nbdkit_parse_probability;' | cc -shared -fPIC -x c - -o newer.so
LD_PRELOAD=$scratch/newer.so thread_model >newer
[ "$(cat newer)" = parallel ] || die "where nbdkit has no fault it is $(cat newer)"
if nbdkit --dump-config | grep -qE '^version=1\.([0-9]|[12][0-9]|3[0-3])\.'; then
    [ "$(thread_model)" = serialize_requests ] || die "where nbdkit has the fault it is $(thread_model)"
fi
for model in parallel serialize_requests; do
    [ "$(thread_model disk.raw thread_model=$model)" = $model ] || die "$model is not obeyed"
done

claim "clients that leave with replies pending do not end it, and do not disturb another one"
python3 - "$socket" <<'PYTHON'
import random, sys
from client import *
draw = random.Random(1)
with open("disk.raw", "rb") as file: disk = file.read(16 << 20)
bystander = Client(sys.argv[1], "disk")
for round in range(400):
    length = draw.choice((512, 4096, 65536))
    leaver = Client(sys.argv[1], "disk")
    requests = b"".join(leaver.request(READ, 0, at * length, length) for at in range(draw.randrange(2, 65)))
    leaver.socket.sendall(requests + draw.choice((b"", b"", leaver.request(DISCONNECT, 0, 0, 0), requests[:7])))
    if draw.random() < 0.5: leaver.get(20)  # leaves in the midst of a reply
    leaver.socket.close()
    at = draw.randrange(len(disk) - 4096)
    assert bystander.read(at, 4096) == disk[at:at + 4096], (round, at)
assert Client(sys.argv[1], "disk").read(0, 4096) == disk[:4096]
PYTHON

claim "no request ends it, whatever its command, flags and range; none writes"
sha256sum disk.raw >disk.sum
python3 - "$socket" <<'PYTHON'
import os, sys
from client import *
size = os.path.getsize("disk.raw")
client, hung_up = Client(sys.argv[1], "disk"), 0
requests = [(command, flags, offset, length)
    for command in (READ, WRITE, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS, RESIZE, 9, 0xffff)
    for flags in (*range(64), 0x8000, 0xffff)  # FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO, PAYLOAD_LEN; unknown ones
    for offset in (0, size - 4096, size, 2**63, 2**64 - 1)
    for length in (0, 1, 4096, 2**32 - 1)]
for request in requests:
    command, flags, offset, length = request
    try:
        kind, payload = client.ask(*request, bytes(length) if command == WRITE and length <= 4096 else b"")
        assert kind >= 0x8000 or command in (READ, CACHE, BLOCK_STATUS), (request, kind, payload)
    except (EOFError, OSError):  # an oversized write: its payload is not waited for
        assert command == WRITE, request
        client, hung_up = Client(sys.argv[1], "disk"), hung_up + 1
print(len(requests), "requests,", hung_up, "hung up on")
PYTHON
sha256sum --quiet -c disk.sum || die "a client wrote to the disk"
nbdinfo --size "$(uri disk)" >/dev/null

claim "a block status request of 4 GiB - 1 over a huge hole is answered"
python3 - "$socket" <<'PYTHON'
import sys
from client import *
asked = 2**32 - 1
for flags in 0, 8:  # all extents, or one
    kind, payload = Client(sys.argv[1], "sparse").ask(BLOCK_STATUS, flags, 0, asked)
    context, described, status = struct.unpack(">III", payload)
    assert kind == 5 and 0 < described <= asked and status == 3, (kind, described, status)
PYTHON
[ "$(nbdinfo --size "$(uri sparse)")" = $((15 << 40)) ] || die "the server is gone"

claim "an image that shrinks while it is served gives EIO where it ends, not zeros"
python3 - "$socket" <<'PYTHON'
import os, sys
from client import *
client = Client(sys.argv[1], "disk")
os.truncate("disk.raw", 1 << 20)
kind, payload = client.ask(READ, 0, 50 << 20, 4096)
assert kind == 0x8001 and struct.unpack(">I", payload[:4])[0] == 5, (hex(kind), payload)
kind, payload = client.ask(BLOCK_STATUS, 0, 50 << 20, 1 << 20)
context, described, status = struct.unpack(">III", payload)
assert (described, status) == (1 << 20, 0), (described, status)
PYTHON
grep -q "disk.raw: read 4096 bytes at offset" "$scratch/nbd0.log" || die "no reason in the log"
nbdinfo --size "$(uri sparse)" >/dev/null
