#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need qemu-img nbdkit python3 nbdinfo

# From the words of blockengine/volume/README.md, "Root", and nothing else.
cat >root.py <<'END'
import hashlib, sys
sha = lambda *parts: hashlib.sha256(b"".join(parts)).digest()
disk = open(sys.argv[1], "rb").read()
nodes = [sha(b"\0", disk[at:at + 65536].ljust(65536, b"\0")) for at in range(0, len(disk), 65536)]
empty = sha(b"\0", bytes(65536))
while len(nodes) == 0 or len(nodes) & (len(nodes) - 1):
    nodes.append(empty)
while len(nodes) > 1:
    nodes = [sha(b"\1", nodes[i], nodes[i + 1]) for i in range(0, len(nodes), 2)]
print(sha(b"\2", len(disk).to_bytes(8, "big"), nodes[0]).hex())
END
wanted() { python3 root.py "$1"; }
root() { "$hyperctl" root "$@"; }
has_root() {  # WANTED OPERAND...
    local wanted=$1 said
    shift
    said=$(root "$@") || die "root $*: ends with $?"
    [ "$said" = "$wanted" ] || die "root $*: $said, not $wanted"
}
refused() {  # MESSAGE ARGUMENT...
    local message=$1 status=0
    shift
    root "$@" >said 2>error || status=$?
    [ $status = 1 ] || die "root $*: status $status"
    grep -q "^hyperctl: .*$message" error || die "root $*: no such message: $(cat error)"
    [ ! -s said ] || die "root $*: printed $(cat said)"
}
serve_file() {  # FILE [OPTION...]
    local count=${#servers[@]}
    socket=$scratch/file$count.sock
    nbdkit --foreground --unix "$socket" --pidfile "$scratch/file$count.pid" file "$@" 2>"$scratch/file$count.log" &
    servers+=($!)
    eventually test -s "$scratch/file$count.pid" || die "nbdkit did not start: $(cat "$scratch/file$count.log")"
}

kinds=(leaf leaf-and-sector one-sector odd-sectors odd-bytes empty full last-byte alternating random)
mkdir disks
for kind in "${kinds[@]:2}"; do make_disk $kind disks/$kind.raw; done
head -c 65536 /dev/urandom >disks/leaf.raw
head -c $((65536 + 512)) /dev/urandom >disks/leaf-and-sector.raw

claim "the root of a raw disk of any size is what a program from the README's words computes"
for kind in "${kinds[@]}"; do
    has_root "$(wanted disks/$kind.raw)" disks/$kind.raw
done

claim "disks that differ have different roots, also in one byte, in size or in order"
cp disks/random.raw other.raw
printf '\1' | dd of=other.raw bs=1 seek=60000001 conv=notrunc status=none
head -c 131072 /dev/urandom >ab.raw
(tail -c 65536 ab.raw; head -c 65536 ab.raw) >ba.raw
truncate -s 1M small.raw
truncate -s 1025K larger.raw
for pair in "disks/random.raw other.raw" "ab.raw ba.raw" "small.raw larger.raw"; do
    read -r a b <<<"$pair"
    [ "$(root $a)" != "$(root $b)" ] || die "$pair have the same root"
done

claim "an image of any format has the root of the disk that was put in"
for kind in one-sector odd-sectors random; do
    wanted=$(wanted disks/$kind.raw)
    qemu-img convert -f raw -O qcow2 -c disks/$kind.raw $kind.qcow2
    qemu-img convert -f raw -O vmdk disks/$kind.raw $kind.vmdk
    qemu-img convert -f raw -O vpc -o force_size=on disks/$kind.raw $kind.vhd
    qemu-img convert -f raw -O vhdx disks/$kind.raw $kind.vhdx
    for format in qcow2 vmdk vhd vhdx; do has_root "$wanted" $kind.$format; done
done
cp random.qcow2 snapshots.qcow2
qemu-img snapshot -c before snapshots.qcow2
qemu-io -c "write -P 7 1M 64k" snapshots.qcow2 >/dev/null
has_root "$wanted" snapshots.qcow2@before
has_root "$wanted" --spec disks random
[ "$(root snapshots.qcow2)" != "$wanted" ] || die "a write does not show"

claim "each view is, read back, the same disk; and has its own bytes' root"
for view in qcow2 vmdk streamOptimized.vmdk vhd fixed.vhd vhdx fixed.vhdx; do
    subformat=${view%.*}
    [ "$subformat" != "$view" ] || subformat=
    "$hyperctl" export disks/random.raw back.$view ${subformat:+--subformat $subformat}
    has_root "$wanted" back.$view
done
qcow2=$(wanted back.qcow2)
cp back.qcow2 back.bin
has_root "$qcow2" -f raw back.bin
has_root "$qcow2" --spec disks random.qcow2
has_root "$qcow2" --spec disks --as qcow2 -- random

claim "over NBD it is the same, of hypernbd and of others, with and without extents"
serve_hypernbd disks
for kind in one-sector odd-sectors alternating random leaf-and-sector; do
    has_root "$(wanted disks/$kind.raw)" "$(uri $kind)"
done
has_root "$qcow2" "$(uri random.qcow2)"
has_root "$qcow2" --as qcow2 "$(uri random)"
for kind in odd-bytes one-sector last-byte alternating random; do
    serve_file disks/$kind.raw
    has_root "$(wanted disks/$kind.raw)" "$(uri '')" -p 2>/dev/null
    serve_file disks/$kind.raw --filter=noextents
    has_root "$(wanted disks/$kind.raw)" "$(uri '')"
done

claim "holes are not read, on disks and over NBD"
truncate -s 15T holes.raw
printf x | dd of=holes.raw bs=1 seek=123456789012 conv=notrunc status=none
timeout 60 "$hyperctl" root holes.raw >local || die "15 TiB of holes were read"
serve_file holes.raw --filter=log logfile="$scratch/asked"
timeout 60 "$hyperctl" root "$(uri '')" >remote || die "15 TiB of holes were read over NBD"
cmp local remote || die "$(cat local remote)"
[ "$(grep -c ' Read ' asked)" = 1 ] || die "$(grep -c ' Read ' asked) reads"

claim "reads over NBD are in flight together"
serve_file disks/full.raw --filter=log logfile="$scratch/asked2" --filter=delay rdelay=300ms
root "$(uri '')" >/dev/null
python3 - asked2 <<'END'
import re, sys
most = now = 0
for line in open(sys.argv[1]):
    now += " Read " in line and "..." in line
    now -= "...Read " in line
    most = max(most, now)
assert most >= 4, most
END

claim "--json has the root and the size"
root disks/odd-sectors.raw --json | python3 -c '
import json, sys
assert json.load(sys.stdin) == {"root": sys.argv[1], "size-bytes": 3 * 1048576 + 7 * 512}' "$(wanted disks/odd-sectors.raw)"

claim "-p shows progress by the bytes that are read"
root disks/random.raw -p 2>progress >/dev/null
grep -q '100.0 % of' progress || die "$(cat progress)"

claim "what cannot be read has no root"
refused 'there is no such file' nowhere.raw
refused 'not a format\|not known' -f fat disks/full.raw
refused 'none.sock' 'nbd+unix:///x?socket=none.sock'
serve_hypernbd disks
refused 'connect' "$(uri nosuchdisk)"
serve_file disks/full.raw --filter=error error-pread=EIO error-pread-rate=100%
HYPER_REMOTE_TIMEOUT=2 refused 'read .* bytes at offset .*: the server answered: Input/output error' "$(uri '')"
# A server that goes away in the middle.
serve_file disks/full.raw --filter=log logfile="$scratch/asked3" --filter=delay rdelay=3600
(eventually grep -q ' Read ' asked3; kill -9 "${servers[-1]}") 2>/dev/null &
HYPER_REMOTE_TIMEOUT=2 refused 'nbd+unix' "$(uri '')"
python3 - <<'END'
disk = bytearray(open("random.qcow2", "rb").read())
import struct
l1, = struct.unpack(">Q", disk[40:48])
disk[l1:l1 + 8] = struct.pack(">Q", 1 << 63 | 1 << 40)
open("broken.qcow2", "wb").write(disk)
END
refused 'broken.qcow2' broken.qcow2
