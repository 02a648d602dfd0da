#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need nbdkit qemu-img ssh-keygen
sshd=/usr/sbin/sshd
[ -x "$sshd" ] || skip "no sshd"

make_disk random disk.raw
qemu-img convert -f raw -O qcow2 -c disk.raw web01.qcow2
expected=$("$hyperctl" root disk.raw)

# A server of our own, with keys of its own.
for key in host user stranger; do ssh-keygen -q -t ed25519 -N '' -f "$key"; done
cp user.pub authorized
chmod 600 authorized
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >sshd.conf <<C
Port $port
ListenAddress 127.0.0.1
HostKey $scratch/host
AuthorizedKeysFile $scratch/authorized
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PermitRootLogin yes
PidFile none
Subsystem sftp internal-sftp
C
mkdir -p /run/sshd 2>/dev/null
"$sshd" -D -e -f "$scratch/sshd.conf" 2>sshd.log & servers+=("$!")
eventually bash -c "exec 3<>/dev/tcp/127.0.0.1/$port" 2>/dev/null || die "sshd did not start: $(cat sshd.log)"
echo "[127.0.0.1]:$port $(cut -d' ' -f1,2 host.pub)" >known
touch config
keys=(--provider "nbd.ssh-config=$scratch/config" --provider "nbd.ssh-known-hosts=$scratch/known" --provider "nbd.ssh-identity=$scratch/user")
place="ssh://$(id -un)@127.0.0.1:$port$scratch"
left() { pgrep -f "^nbdkit --readonly ssh .*path=$scratch"; }
none_left() { ! left >/dev/null; }

claim "a file of another machine is read as what its suffix says"
[ "$("$hyperctl" root "${keys[@]}" "$place/disk.raw")" = "$expected" ] || die "the root of the raw file differs: $(cat sshd.log)"
[ "$("$hyperctl" root "${keys[@]}" "$place/web01.qcow2")" = "$expected" ] || die "the root of the qcow2 differs"
"$hyperctl" export "${keys[@]}" "$place/web01.qcow2" copy.vmdk >/dev/null
qemu-img compare -f raw -F vmdk disk.raw copy.vmdk || die "the copy differs"
"$hyperctl" sync --create "${keys[@]}" "$place/web01.qcow2" v.volume >/dev/null || die "it is not synced"

claim "a door serves it, goes on after the connection broke, and leaves no nbdkit behind"
serve_hypernbd "${keys[@]}" "$place/web01.qcow2"
same raw "$(uri web01)" disk.raw
started=$(pgrep -P "$server" -x nbdkit) || die "the server has started no nbdkit"
kill -KILL $started
same raw "$(uri web01)" disk.raw
ends_well
eventually none_left || die "an nbdkit was left: $(left)"

claim "a stranger's key, another machine's, a file that is not there, and a password in the URI are refused"
refused() {  # PATTERN COMMAND...
    local pattern=$1
    shift
    timeout 60 "$@" >out 2>&1 && die "taken: $*"
    grep -qi "$pattern" out || die "$* said: $(cat out)"
}
stranger=("${keys[@]:0:4}" --provider "nbd.ssh-identity=$scratch/stranger")
refused 'ssh' env SSH_AUTH_SOCK= HOME="$scratch" "$hyperctl" root "${stranger[@]}" "$place/disk.raw"
echo "[127.0.0.1]:$port $(cut -d' ' -f1,2 stranger.pub)" >known
refused 'host' "$hyperctl" root "${keys[@]}" "$place/disk.raw"
echo "[127.0.0.1]:$port $(cut -d' ' -f1,2 host.pub)" >known
refused 'no such file\|nothere' "$hyperctl" root "${keys[@]}" "$place/nothere.raw"
refused 'password does not belong' "$hyperctl" root ssh://root:secret@127.0.0.1/disk.raw
refused 'names no file' "$hyperctl" root ssh://127.0.0.1/
