#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# TLS is required of the network, by keys or certificates; rules say who sees and writes what; and both are read again.
. "$(dirname "$0")/lib.sh"
need "$hypernbd" /usr/lib/python3/dist-packages/nbd.py nbdinfo nbdcopy certtool psktool python3 setpriv
client() { PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$SRC/tests/nbd python3 - "$@"; }
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

mkdir disks
make_disk random disks/web01.raw
truncate -s 8M disks/secret.raw disks/scratch.raw
for identity in alice mallory; do psktool -u $identity -p keys >/dev/null 2>&1; done
cp keys all-keys
sed -i /mallory/d keys
chmod 600 keys all-keys
cat >rules.toml <<'TOML'
[[allow]]
who = ["psk:alice", "psk:mallory", "cert:client.example"]
read = ["web*"]
write = ["scratch"]
[[allow]]
who = ["uid:65530"]
read = ["web01"]
TOML

# Certificates: our CA's, and another's of the same names.
certificates() {  # FOLDER
    mkdir "$1"
    printf 'cn = %s CA\nca\ncert_signing_key\nexpiration_days = 2\n' "$1" >"$1/ca.info"
    certtool --generate-privkey --outfile "$1/ca-key.pem" --ecc >/dev/null 2>&1
    certtool --generate-self-signed --load-privkey "$1/ca-key.pem" --template "$1/ca.info" --outfile "$1/ca-cert.pem" 2>/dev/null
    local name use
    for name in server client stranger; do
        use=tls_www_client
        [ $name = server ] && use=tls_www_server
        printf 'cn = %s.example\ndns_name = %s.example\nip_address = 127.0.0.1\n%s\nencryption_key\nsigning_key\n' \
            $name $name $use >"$1/$name.info"
        (umask 077 && certtool --generate-privkey --ecc --outfile "$1/$name-key.pem" >/dev/null 2>&1)
        certtool --generate-certificate --load-privkey "$1/$name-key.pem" --load-ca-certificate "$1/ca-cert.pem" \
            --load-ca-privkey "$1/ca-key.pem" --template "$1/$name.info" --outfile "$1/$name-cert.pem" 2>/dev/null
    done
}
# What a client of libnbd wants to find: its own certificate as client-cert.pem.
identity() {  # FOLDER NAME
    mkdir -p "$1-$2"
    cp "$1/ca-cert.pem" "$1-$2/"
    cp "$1/$2-cert.pem" "$1-$2/client-cert.pem"
    cp "$1/$2-key.pem" "$1-$2/client-key.pem"
}
certificates ours
certificates theirs
identity ours client
identity ours stranger
identity theirs client

start() {
    socket=$scratch/nbd${#servers[@]}.sock
    "$hypernbd" --socket "$socket" --listen "127.0.0.1:$port" "$@" disks 2>"$scratch/nbd.log" &
    server=$!
    servers+=("$server")
    eventually test -S "$socket" || die "hypernbd did not start: $(cat "$scratch/nbd.log")"
}
names() { sed -n 's/^export="\(.*\)":$/\1/p' | grep -v '\.' | sort | tr '\n' ' '; }
by_key() { echo "nbds://$1@127.0.0.1:$port/${2:-}?tls-psk-file=$scratch/all-keys"; }
by_certificate() { echo "nbds://127.0.0.1:$port/$2?tls-certificates=$scratch/$1"; }

claim "the network is not served without TLS and rules"
for arguments in "" "--rules rules.toml" "--tls-psk keys"; do
    status=0
    timeout 10 "$hypernbd" --listen "127.0.0.1:$port" $arguments disks 2>refused.log || status=$?
    [ $status = 1 ] && grep -q "a network socket needs" refused.log || die "hypernbd $arguments: $status, $(cat refused.log)"
done
cp keys open-keys
chmod 644 open-keys
timeout 10 "$hypernbd" --listen "127.0.0.1:$port" --tls-psk open-keys --rules rules.toml disks 2>refused.log && die "keys that all may read"

start --tls-psk keys --rules rules.toml --rw
eventually nbdinfo "$(by_key alice web01)" >/dev/null 2>&1 || die "alice does not come in: $(cat "$scratch/nbd.log")"

claim "a key that is known comes in, sees what its rules name and no more"
[ "$(nbdinfo --list "$(by_key alice)" | names)" = "scratch web01 " ] || die "alice sees $(nbdinfo --list "$(by_key alice)" | names)"
nbdcopy "$(by_key alice web01)" copy.raw
cmp copy.raw disks/web01.raw
nbdinfo "$(by_key alice secret)" >/dev/null 2>&1 && die "alice reads the secret"
nbdinfo "$(by_key alice secret.qcow2)" >/dev/null 2>&1 && die "alice reads the secret as a view"
nbdinfo --can write "$(by_key alice scratch)" || die "alice may not write"
nbdinfo --can write "$(by_key alice web01)" && die "alice may write what she may read"

claim "who has no key, or another's, does not come in"
nbdinfo "$(by_key mallory web01)" >/dev/null 2>&1 && die "mallory came in"
(umask 077 && sed -n 's/^mallory:/alice:/p' all-keys >wrong-keys)
nbdinfo "nbds://alice@127.0.0.1:$port/web01?tls-psk-file=$scratch/wrong-keys" >/dev/null 2>&1 && die "mallory came in as alice"
nbdinfo "nbd://127.0.0.1:$port/web01" >/dev/null 2>&1 && die "somebody came in without TLS"

claim "before TLS nothing but STARTTLS is listened to, and plain text behind it ends the connection"
client "$port" <<'PYTHON'
import struct, sys
from wire import *
address = ("127.0.0.1", int(sys.argv[1]))
def greeted():
    connection = Connection(address, 10)
    connection.greet(FIXED_NEWSTYLE | NO_ZEROES)
    return connection
for option in OPT_LIST, OPT_INFO, OPT_GO, OPT_STRUCTURED_REPLY, OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT, OPT_EXTENDED_HEADERS, 99:
    with greeted() as connection:
        items, kind = connection.option(option)
        assert kind == ERR_TLS_REQD, (option, rep_name(kind))
with greeted() as connection:
    connection.send(IHAVEOPT + struct.pack(">II", OPT_EXPORT_NAME, 5) + b"web01")
    assert connection.socket.recv(1) == b"", "EXPORT_NAME was answered"
with greeted() as connection:
    connection.send(IHAVEOPT + struct.pack(">II", OPT_STARTTLS, 0) + IHAVEOPT + struct.pack(">II", OPT_STRUCTURED_REPLY, 0))
    said = b""
    while part := connection.socket.recv(4096):
        said += part
    assert struct.pack(">II", OPT_STRUCTURED_REPLY, REP_ACK) not in said, said
PYTHON

claim "on the Unix socket a user is known by the kernel's word"
chmod 755 "$scratch"
chmod 666 "$socket"
seen() { setpriv --reuid "$1" --regid "$1" --clear-groups nbdinfo --list "$(uri '')" | names; }
[ "$(seen 65530)" = "web01 " ] || die "user 65530 sees $(seen 65530)"
[ "$(seen 65531)" = "" ] || die "user 65531 sees $(seen 65531)"

claim "rules and keys are read again, and nobody is disconnected"
mkfifo wake
/usr/bin/python3 - "$(by_key alice web01)" 2>stayed.log <<'PYTHON' &
import nbd, sys
alice = nbd.NBD()
alice.set_uri_allow_local_file(True)
alice.connect_uri(sys.argv[1])
alice.pread(512, 0)
open("in", "w").close()
open("wake").read()
alice.pread(512, 0)
PYTHON
waiter=$!
eventually test -e in || die "alice is not in: $(cat stayed.log)"
cp all-keys keys
printf '[[allow]]\nwho = ["psk:mallory"]\nread = ["secret"]\n' >rules.toml
kill -HUP "$server"
eventually nbdinfo "$(by_key mallory secret)" >/dev/null 2>&1 || die "mallory's rule does not hold"
nbdinfo "$(by_key alice web01)" >/dev/null 2>&1 && die "alice's rule still holds"
timeout 20 bash -c 'echo >wake' || die "alice is gone"
wait $waiter || die "alice was disconnected: $(cat stayed.log)"
echo 'nonsense = 1' >rules.toml
kill -HUP "$server"
eventually grep -q "stay as they were" "$scratch/nbd.log" || die "wrong rules are not told"
nbdinfo "$(by_key mallory secret)" >/dev/null || die "wrong rules were taken"
ends_well

claim "certificates: ours of a name that a rule has, and no other"
printf '[[allow]]\nwho = ["cert:client.example"]\nread = ["web01"]\n' >rules.toml
start --tls-certificates ours --rules rules.toml
eventually nbdinfo "$(by_certificate ours-client web01)" >/dev/null 2>&1 || die "the client does not come in: $(cat "$scratch/nbd.log")"
nbdinfo "$(by_certificate ours-client secret)" >/dev/null 2>&1 && die "the client reads the secret"
nbdinfo "$(by_certificate ours-stranger web01)" >/dev/null 2>&1 && die "a name without a rule reads"
nbdinfo "$(by_certificate theirs-client web01)" >/dev/null 2>&1 && die "another CA's client came in"
printf '[[allow]]\nwho = ["cert:stranger.example"]\nread = ["web01"]\n' >rules.toml
kill -HUP "$server"
eventually nbdinfo "$(by_certificate ours-stranger web01)" >/dev/null 2>&1 || die "a name with a rule does not read: so nobody would be let in"
printf '[[allow]]\nwho = ["cert:client.example"]\nread = ["web01"]\n' >rules.toml
kill -HUP "$server"
eventually nbdinfo "$(by_certificate ours-client web01)" >/dev/null 2>&1 || die "the rules are not read again: $(cat "$scratch/nbd.log")"
cp ours/ca-cert.pem theirs-client/
nbdinfo "$(by_certificate theirs-client web01)" >/dev/null 2>&1 && die "another CA's certificate came in"
ends_well

claim "the other CA's certificate is a good one, where that CA is asked"
cp theirs/ca-cert.pem theirs-client/
start --tls-certificates theirs --rules rules.toml
eventually nbdinfo "$(by_certificate theirs-client web01)" >/dev/null 2>&1 || die "it does not come in: $(cat "$scratch/nbd.log")"
ends_well
