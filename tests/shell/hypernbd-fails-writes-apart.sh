#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A write that fails in the middle is answered with its error, and takes nothing of what follows with it.
. "$(dirname "$0")/lib.sh"
need "$hypernbd" python3

truncate -s 8M disk.raw
socket=$scratch/nbd.sock
# Writes behind the first MiB fail.
(trap '' XFSZ && ulimit -f 1024 && exec "$hypernbd" --socket "$socket" --rw disk.raw 2>said.log) &
server=$!
servers+=("$server")
eventually test -S "$socket" || die "hypernbd did not start: $(cat said.log)"

claim "durable writes whose first part has failed while the rest arrives, then a good one, each get their own answer"
PYTHONDONTWRITEBYTECODE=1 python3 - "$socket" <<'PYTHON'
import socket, struct, sys, time
client = socket.socket(socket.AF_UNIX)
client.settimeout(20)
client.connect(sys.argv[1])
def receive(count):
    data = b""
    while len(data) < count:
        part = client.recv(count - len(data))
        assert part, "the server hung up"
        data += part
    return data
def header(cookie, offset, length):
    return struct.pack(">IHHQQI", 0x25609513, 1, 1, cookie, offset, length)  # FUA, WRITE
def answer():
    magic, error, cookie = struct.unpack(">IIQ", receive(16))
    assert magic == 0x67446698, hex(magic)
    return cookie, error
receive(18)
client.sendall(struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 1, 4) + b"disk")
receive(10)
MiB = 1 << 20
client.sendall(header(1, 4 * MiB, MiB) + b"a" * (MiB // 2 + 1000))
deadline = time.monotonic() + 20
while "write" not in open("said.log").read():
    assert time.monotonic() < deadline, "the first part did not fail"
    time.sleep(0.01)
client.sendall(b"a" * (MiB // 2 - 1000) + header(2, 4096, 4096) + b"b" * 4096)
answers = dict(answer() for _ in range(2))
assert answers[1] == 28, answers  # ENOSPC
# The kernel may have told of earlier writes by the one that failed, but this one is where it belongs.
client.sendall(header(3, 0, 4096) + b"c" * 4096)
answers.update([answer()])
assert answers[2] == 0 and answers[3] == 0, answers
PYTHON
[ "$(head -c 8192 disk.raw | tr -d '\0' | fold -w 4096)" = "$(printf 'c%.0s' {1..4096}; echo; printf 'b%.0s' {1..4096})" ] || die "the good writes are not where they belong"
[ "$(tail -c +8193 disk.raw | tr -d '\0' | wc -c)" = 0 ] || die "something was written elsewhere"
ends_well
