#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# One process carries 1,000 exports and 1,000 connections, and they are told apart; so are disks that come and go meanwhile.
. "$(dirname "$0")/lib.sh"
need "$hypernbd" python3
client() { PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$SRC/tests/nbd python3 - "$@"; }

mkdir disks
python3 - <<'PYTHON'
for number in range(1000):
    with open(f"disks/d{number:03}.raw", "wb") as file:
        file.write(b"disk %03d " % number * 512)
        file.truncate(1 << 20)
PYTHON
serve_disks() {
    socket=$scratch/nbd${#servers[@]}.sock
    "$hypernbd" --socket "$socket" disks 2>nbd.log &
    server=$!
    servers+=("$server")
    eventually test -S "$socket" || die "hypernbd did not start"
}
cat >check.py <<'PYTHON'
import os, struct, sys
from wire import *
def resident_kib():
    with open(f"/proc/{sys.argv[2]}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
def enter(name):
    connection = Connection(sys.argv[1], 30)
    connection.greet(FIXED_NEWSTYLE | NO_ZEROES)
    connection.send(IHAVEOPT + struct.pack(">II", OPT_EXPORT_NAME, len(name)) + name)
    size, flags = struct.unpack(">QH", connection.receive(10))
    assert size == 1 << 20, size
    return connection
def ask(connection, number):
    connection.send(struct.pack(">IHHQQI", 0x25609513, 0, 0, number, 0, 4096))
def answer(connection, number):
    magic, error, cookie = struct.unpack(">IIQ", connection.receive(16))
    assert (magic, error, cookie) == (0x67446698, 0, number), (hex(magic), error, cookie)
    data = connection.receive(4096)
    assert data == (b"disk %03d " % number * 512)[:4096], (number, data[:32])
enter(b"d000").socket.close()
before = resident_kib()
connections = [enter(b"d%03d" % number) for number in range(1000)]
grown = resident_kib() - before
assert grown < 64 << 10, f"1,000 connections take {grown} KiB"
for number, connection in enumerate(connections):
    ask(connection, number)
    answer(connection, number)
for number, connection in enumerate(connections):
    ask(connection, number)
for number, connection in enumerate(connections):
    answer(connection, number)

# A disk that is added, and one that is removed, disturb nobody.
open("disks/new.raw", "wb").truncate(1 << 20)
enter(b"new").socket.close()
os.unlink("disks/d007.raw")
ask(connections[7], 7)
answer(connections[7], 7)
with Connection(sys.argv[1], 30) as lister:
    lister.greet(FIXED_NEWSTYLE | NO_ZEROES)
    lister.send(IHAVEOPT + struct.pack(">II", OPT_LIST, 0))
    listed = set()
    while True:
        magic, option, kind, length = struct.unpack(">QIII", lister.receive(20))
        data = lister.receive(length)
        if kind == REP_ACK:
            break
        listed.add(data[4:4 + struct.unpack(">I", data[:4])[0]])
disks = {name for name in listed if b"." not in name}
assert len(disks) == 1000 and b"new" in disks and b"d007" not in disks, (len(disks), disks - {b"d%03d" % n for n in range(1000)})
PYTHON

claim "the check sees two exports that are changed for each other"
mv disks/d500.raw d501.raw && mv disks/d501.raw disks/d500.raw && mv d501.raw disks/
serve_disks
client "$socket" "$server" <check.py 2>seen.log && die "it did not see it"
grep -q "AssertionError: (500, " seen.log || die "it failed otherwise: $(cat seen.log)"
ends_well
mv disks/d500.raw d501.raw && mv disks/d501.raw disks/d500.raw && mv d501.raw disks/

claim "1,000 connections to 1,000 exports read each its own, in turns and all at once"
serve_disks
client "$socket" "$server" <check.py
ends_well
