#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a client of hypernbd may do without harm to others, and what happens to disks while they are served: each claim is
# a fault that was found once, or that another server had.
. "$(dirname "$0")/lib.sh"
need "$hypernbd" nbdinfo python3
client() { PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$SRC/tests/nbd python3 - "$socket" "$server"; }

mkdir disks
make_disk random disks/web01.raw
truncate -s 4M disks/db01.raw
truncate -s 15T disks/huge.raw
serve_hypernbd disks

claim "contexts are of the export that is entered, though the file was replaced after they were chosen"
python3 -c 'open("disks/new", "wb").write(b"x" * (4 << 20))'
client <<'PYTHON'
import os, sys
from server import Server
from transmission import BLOCK_STATUS, STATE_ZERO, Request, Transmission
from wire import OPT_GO, REP_ACK
server = Server(sys.argv[1], "db01", "disks/db01.raw", False, 10)
connection, contexts = server.negotiated("structured", ["base:allocation"])
os.rename("disks/new", "disks/db01.raw")
assert connection.info(OPT_GO, "db01")[1] == REP_ACK
transmission = Transmission(connection, "structured", 4 << 20, 0, contexts, 1 << 25)
assert transmission.reads(0, 16) == b"x" * 16
(extents, ) = transmission.one(Request(BLOCK_STATUS, 0, 4 << 20)).status.values() or [[]]
assert not any(state & STATE_ZERO for _, state in extents), extents
PYTHON

claim "names of clients and disks do not write into the log what they like"
client <<'PYTHON'
import sys
from wire import OPT_INFO, Connection
with Connection(sys.argv[1], 10) as connection:
    connection.greet()
    for name in b"\x1b[2Jx", b"a\nb", b"\xff\xfe", b"\x7f\r\b":
        connection.info(OPT_INFO, name)
    for _ in range(100):
        connection.info(OPT_INFO, b"x" * 4096)
PYTHON
log=$scratch/nbd0.log
! grep -qaP '[\x00-\x08\x0b-\x1f\x7f]|\x1b|[\x80-\xff]' "$log" || die "control characters in the log: $(cat -v "$log")"
! grep -qax 'b: .*' "$log" || die "a client writes a line of its own"
[ "$(stat -c %s "$log")" -lt 100000 ] || die "a client makes the log grow by $(stat -c %s "$log") bytes"

claim "an image that shrinks while it is served gives EIO where it ends, in each mode, and not zeros"
client <<'PYTHON'
import os, sys
from server import Server
from transmission import EIO, MODES, read
from wire import Ended
server = Server(sys.argv[1], "web01", "disks/web01.raw", False, 10)
entered = [server.enter(mode, [] if mode == "simple" else ["base:allocation"]) for mode in MODES]
os.truncate("disks/web01.raw", 1 << 20)
for transmission in entered:
    for length in 4096, 1 << 20, 4 << 20:
        assert transmission.one(read(50 << 20, length)).error == EIO, (transmission.mode, length)
    reply = transmission.one(read(0, 4 << 20))  # well at first
    assert reply.error == EIO, transmission.mode
    server.matches(0, transmission.reads(0, 4096))
PYTHON
grep -q "web01.raw: read .* bytes at offset" "$log" || die "no reason in the log"

claim "a block status request of 4 GiB - 1 over a huge hole is answered"
client <<'PYTHON'
import sys
from server import Server
from transmission import BLOCK_STATUS, REQ_ONE, Request
server = Server(sys.argv[1], "huge", "disks/huge.raw", False, 10)
with server.enter("structured", ["base:allocation"]) as transmission:
    for flags in 0, REQ_ONE:
        (extents, ) = transmission.succeeds(Request(BLOCK_STATUS, 0, 2**32 - 1, flags)).status.values()
        assert len(extents) == 1 and 0 < extents[0][0] <= 2**32 - 1 and extents[0][1] == 3, extents
PYTHON

claim "clients that ask much and read nothing take little memory, and nothing is done for those that left"
python3 - <<'PYTHON'
with open("disks/comb.raw", "wb") as file:
    for block in range(4096):
        file.seek(block * 8192)
        file.write(b"x" * 4096)
PYTHON
client <<'PYTHON'
import sys
from server import Server
from transmission import BLOCK_STATUS, Request, read
server = Server(sys.argv[1], "comb", "disks/comb.raw", False, 30)
def resident_mib():
    with open(f"/proc/{sys.argv[2]}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) >> 10
def busy_clients(count, requests):
    for _ in range(count):
        transmission = server.enter("structured", ["base:allocation"])
        transmission.connection.send(transmission.encode(*[Request(*requests) for _ in range(1000)]))
        yield transmission
def others_are_served():
    for _ in range(10):
        with server.enter("structured", ["base:allocation"]) as other:
            other.succeeds(Request(BLOCK_STATUS, 0, 4096))
            server.matches(0, other.reads(0, 1 << 20))
before = resident_mib()
readers = list(busy_clients(20, (0, 0, 1 << 20)))
others_are_served()
growth = resident_mib() - before
assert growth < 256, f"20 clients that read take {growth} MiB"
for transmission in readers:
    transmission.connection.socket.close()
askers = list(busy_clients(4, (BLOCK_STATUS, 0, 16 << 20)))
others_are_served()
growth = resident_mib() - before
assert growth < 256, f"4 clients that ask for status take {growth} MiB"
for transmission in askers:
    transmission.connection.socket.close()
others_are_served()
PYTHON
ends_well

claim "a client that says nothing, or too little, is closed in time, and one that takes too many connections gets no more"
printf '[[allow]]\nwho = ["local"]\nread = ["*"]\n[limits]\nhandshake_seconds = 1\nconnections_per_peer = 5\n' >rules.toml
serve_hypernbd --rules rules.toml disks/db01.raw
client <<'PYTHON'
import sys
from server import Server
from wire import Connection
server = Server(sys.argv[1], "db01", "disks/db01.raw", False, 10)
opening = server.opening("structured")
with server.enter("simple") as entered:
    for cut in 0, 3, 10, len(opening) - 1:
        with server.connection() as connection:
            connection.greet(client_flags=None)
            connection.send(opening[:cut])
            while connection.socket.recv(4096):  # until the server closes
                pass
    entered.reads(0, 4096)  # who is in stays
    held = [server.greeted() for _ in range(4)]
    Connection(sys.argv[1], 10).expect_end()
    for connection in held:
        connection.socket.close()
    entered.reads(0, 4096)
    entered.disconnect()
PYTHON
ends_well

claim "more clients than there are descriptors: the others wait, and the log stays small"
socket=$scratch/few.sock
(ulimit -n 40 && exec "$hypernbd" --socket "$socket" disks/db01.raw 2>few.log) &
server=$!
servers+=("$server")
eventually nbdinfo --size "$(uri db01)" >/dev/null 2>&1 || die "hypernbd did not start"
client <<'PYTHON'
import socket, sys
from server import Server
held = []
for _ in range(200):
    held.append(socket.socket(socket.AF_UNIX))
    held[-1].connect(sys.argv[1])
# Those that got in are greeted. They stay for a while, as long as 20 round trips of one of them take.
held[0].settimeout(10)
held[0].recv(18)
held[0].sendall(b"\0\0\0\3")
for _ in range(20):
    held[0].sendall(b"IHAVEOPT" + (99).to_bytes(4, "big") + bytes(4))
    held[0].recv(4096)
for one in held:
    one.close()
Server(sys.argv[1], "db01", "disks/db01.raw", False, 10).serves_others()
PYTHON
[ "$(stat -c %s few.log)" -lt 100000 ] || die "the log has $(stat -c %s few.log) bytes"
ends_well
