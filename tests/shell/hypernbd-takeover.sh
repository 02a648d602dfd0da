#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A hypernbd is replaced by another while clients are at work, and none of them notices.
. "$(dirname "$0")/lib.sh"
need "$hypernbd" "$hyperctl" nbdinfo nbdsh qemu-img qemu-io python3
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$SRC/tests/nbd

make_disk random reading.raw
qemu-img convert -q -f raw -O qcow2 reading.raw reading.qcow2
truncate -s 256M writing.raw
"$hyperctl" sync --create reading.raw "$scratch/kept.volume" >/dev/null
printf '[[allow]]\nwho = ["local", "psk:backup01"]\nwrite = ["*"]\n' >rules.toml
printf 'backup01:%s\n' 000102030405060708090a0b0c0d0e0f >keys
chmod 600 keys
port=$((20000 + RANDOM % 20000))
socket=$scratch/nbd.sock
takeover=$scratch/takeover.sock
starts=0
start() {  # sets $server and $log
    starts=$((starts + 1))
    log=$scratch/nbd$starts.log
    "$hypernbd" --socket "$socket" --takeover "$takeover" --control "$scratch/control.sock" --rules rules.toml \
        --listen "127.0.0.1:$port" --tls-psk keys --rw reading.qcow2 writing.raw kept.volume 2>"$log" &
    server=$!
    servers+=("$server")
}
ended() {  # PID: whether it ends, and well
    local status=0
    gone "$1" || die "the server that was replaced does not end"
    wait "$1" || status=$?
    [ $status = 0 ] || die "the server that was replaced ended with $status"
}
check() {
    echo check >&"${clients[1]}" 2>/dev/null || die "a client saw an error"
    read -r word pause <&"${clients[0]}" || die "a client saw an error"
    [ "$word" = ok ] || die "a client saw an error: $word"
}
without_tls_client() {
    "$hyperctl" export show reading --control "$scratch/control.sock" >shown 2>&1
    ! grep -q backup01 shown
}
without_a_writer() { "$hyperctl" export show writing --control "$scratch/control.sock" >shown 2>&1 && grep -qx 'clients: 0' shown; }
longest=0

start
eventually nbdinfo --size "$(uri writing)" >/dev/null 2>&1 || die "hypernbd did not start: $(cat "$log")"
coproc clients { python3 "$SRC/tests/shell/takeover-clients.py" "$socket" 100 2>clients.log; }
clients_pid=$!
check

claim "five times a new server takes over from the old one, which ends; no client of 100 sees an error"
for _ in 1 2 3 4 5; do
    old=$server
    start
    ended "$old"
    kill -0 "$server" || die "the new server has gone: $(cat "$log")"
    check
    [ "$pause" -lt "$longest" ] || longest=$pause
    "$hyperctl" export list --control "$scratch/control.sock" >list || die "the control socket does not answer"
done
echo "  the longest time that a request took: $longest ms"

claim "a new server that dies in the middle leaves the old one serving, with all clients"
status=0
python3 - "$takeover" <<'PYTHON' || status=$?
import os, socket, struct, sys
HELLO, END, GO, CLIENT = 1, 5, 6, 9
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
def say(kind, body=b""):
    peer.sendall(struct.pack("=II", len(body), kind) + body)
def hear():
    head, fds, _, _ = socket.recv_fds(peer, 8, 1)
    count, kind = struct.unpack("=II", head)
    while count:
        count -= len(peer.recv(count))
    return kind
say(HELLO, struct.pack("=Q", 1))
while hear() != END:
    pass
say(GO)
while hear() != CLIENT:
    pass
os._exit(7)  # without a word, as kill -9 ends a process
PYTHON
[ $status = 7 ] || die "it did not come to the middle: $status"
check
eventually grep -q "this server goes on" "$log" || die "the log does not say that it failed"
nbdinfo --size "$(uri writing)" >size || die "nobody new is let in"

claim "a version of the hand-over that is not known is refused, and the server goes on"
python3 - "$takeover" <<'PYTHON'
import socket, struct, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
peer.sendall(struct.pack("=IIQ", 8, 1, 999))
count, kind = struct.unpack("=II", peer.recv(8))
assert kind == 2 and b"version 1" in peer.recv(count), kind
assert peer.recv(1) == b""
PYTHON
check

claim "a stranger gets no answer, even where the mode of the socket lets it in (only root can try)"
chmod 755 "$scratch" && chmod 666 "$takeover"
if [ "$(id -u)" = 0 ]; then
    python3 - "$takeover" <<'PYTHON'
import os, socket, struct, sys
os.setuid(65534)
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
try:
    peer.sendall(struct.pack("=IIQ", 8, 1, 1))
    assert peer.recv(8) == b""
except (BrokenPipeError, ConnectionResetError):
    pass
PYTHON
fi
check

claim "a server that cannot start takes nothing over"
! "$hypernbd" --socket "$socket" --takeover "$takeover" missing.raw 2>refused.log || die "it started without its image"
check

claim "what clients wrote is in the file"
echo end >&"${clients[1]}"
read -r word <&"${clients[0]}" || die "a client saw an error"
[ "$word" = ended ] || die "a client saw an error: $word"
wait "$clients_pid"

claim "a client in the middle of a large write stays with the old server until it has left, and what it wrote is there for all"
cat >half.py <<'PYTHON'
import random, sys
from server import Server
from transmission import read, write
content = random.Random(1).randbytes(8 << 20)
transmission = Server(sys.argv[1], "writing", "writing.raw", True, 60).enter("structured", [])
if sys.argv[2] == "write":
    request = write(4099, content)
    data = transmission.encode(request)
    transmission.connection.send(data[:len(data) // 2])
    print("half", flush=True)
    sys.stdin.readline()
    transmission.connection.send(data[len(data) // 2:])
    (reply, ) = transmission.replies([request])
    assert not reply.error, reply.error
assert bytes(transmission.one(read(4099, len(content))).data) == content, "other bytes than were written"
transmission.disconnect()
PYTHON
coproc half { python3 half.py "$socket" write 2>half.log; }
half_pid=$!
read -r word <&"${half[0]}" || die "the client is not served: $(cat half.log)"
without_a_writer && die "the client is not counted: $(cat shown)"
old=$server
start
# As below: by the counters of the new server.
eventually without_a_writer || die "the new server does not take over: $(cat "$log")"
kill -0 "$old" || die "the old server has left its client"
echo rest >&"${half[1]}"
wait "$half_pid" || die "the client saw an error: $(cat half.log)"
ended "$old"
python3 half.py "$socket" read 2>half.log || die "the new server reads something else: $(cat half.log)"

claim "who writes a volume or an overlay, which only the old server has, stays with it and reads what it wrote, until it leaves"
cat >stays.py <<'PYTHON'
import sys
clients = []
for number, name in enumerate(("kept", "kept@1+rw"), 1):
    client = nbd.NBD()
    client.connect_uri(f"nbd+unix:///{name}?socket={sys.argv[1]}")
    client.pwrite(bytes([number]) * 65536, 4096)
    client.flush()
    clients.append(client)
print("ready", flush=True)
sys.stdin.readline()
for number, client in enumerate(clients, 1):
    assert client.pread(65536, 4096) == bytes([number]) * 65536, f"client {number} reads other bytes than it wrote"
    client.pwrite(bytes([number + 2]) * 4096, 4096)
    client.shutdown()
print("ok", flush=True)
PYTHON
coproc stays { PATH=/usr/bin:$PATH nbdsh -c "import sys; sys.argv = ['', '$socket']" -c "exec(open('stays.py').read())" 2>stays.log; }
stays_pid=$!
read -r word <&"${stays[0]}" || die "the clients are not let in: $(cat stays.log)"
without_writers_of_the_volume() {
    "$hyperctl" export show kept --control "$scratch/control.sock" >shown 2>&1
    ! grep -qx 'clients: 1' shown
}
without_writers_of_the_volume && die "the client is not counted: $(cat shown)"
old=$server
start
eventually without_writers_of_the_volume || die "the new server does not take over: $(cat "$log")"
kill -0 "$old" || die "the old server has left its clients"
echo read >&"${stays[1]}"
wait "$stays_pid" || die "a client saw an error: $(cat stays.log)"
ended "$old"
qemu-io -r -f raw "$(uri kept)" -c 'read -P 3 4k 4k' -c 'read -P 1 8k 60k' >read.log 2>&1 || die "the new server does not show what was written last: $(cat read.log)"

claim "a TLS client stays with the old server, which then ends; new ones come to the new server"
cat >tls.py <<PYTHON
import sys
h.set_tls(nbd.TLS_REQUIRE)
h.set_tls_username("backup01")
h.set_tls_psk_file("keys")
h.set_export_name("reading")
h.connect_tcp("127.0.0.1", "$port")
with open("reading.raw", "rb") as raw:
    wanted = raw.read(65536)
assert h.pread(65536, 0) == wanted
print("ready", flush=True)
for line in sys.stdin:
    assert h.pread(65536, 0) == wanted
    print("ok", flush=True)
PYTHON
# The distribution's Python has libnbd.
coproc tls { PATH=/usr/bin:$PATH nbdsh -c "exec(open('tls.py').read())" 2>tls.log; }
tls_pid=$!
read -r word <&"${tls[0]}" || die "the TLS client is not let in: $(cat tls.log)"
without_tls_client && die "the TLS client is not counted: $(cat shown)"
old=$server
start
# Its counters are those of the new server when the TLS client is not among them.
eventually without_tls_client || die "the new server does not take over: $(cat "$log")"
nbdinfo --size "$(uri writing)" >/dev/null 2>&1 || die "the new server does not serve"
kill -0 "$old" || die "the old server has left its TLS client"
echo read >&"${tls[1]}"
read -r word <&"${tls[0]}" || die "the TLS client sees an error: $(cat tls.log)"
eval "exec ${tls[1]}>&-"
wait "$tls_pid"
ended "$old"
ends_well
[ ! -e "$socket" ] && [ ! -e "$takeover" ] || die "the last server left a socket behind"
