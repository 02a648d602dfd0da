#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need qemu-img python3 cmp

export HYPER_ROOT=$scratch/root
json() { python3 -c 'import json, sys; told = json.load(sys.stdin); print('"$1"')'; }
write_at() { head -c "$2" /dev/urandom | dd of=disk.raw bs=64K seek="$1" conv=notrunc status=none; }

head -c 64M /dev/urandom >disk.raw
"$hyperctl" sync disk.raw source --create >/dev/null
"$hyperctl" sync source copy --create >/dev/null
"$hyperctl" sync source aside --create >/dev/null

claim "of a source that knows what changed only that is read, and some blocks that did not change are looked at"
write_at 100 65536
write_at 500 131072
truncate -s 32M disk.raw
truncate -s 64M disk.raw
write_at 600 65536
"$hyperctl" sync disk.raw source >/dev/null
"$hyperctl" sync source copy --json >copy.json
[ "$(json 'told["compared-all"], told["sampled-blocks"] > 0' <copy.json)" = "False True" ] || die "$(cat copy.json)"
[ "$(json 'told["reported-bytes"] == told["read-bytes"] == told["different-bytes"] == (3 << 16) + (32 << 20)' <copy.json)" = True ] ||
    die "$(cat copy.json)"
[ "$(json 'told["zero-bytes"] == (32 << 20) - (1 << 16)' <copy.json)" = True ] || die "$(cat copy.json)"
[ "$(json 'told["root"]' <copy.json)" = "$("$hyperctl" root disk.raw)" ] || die "the root is another"
"$hyperctl" compare copy disk.raw >/dev/null || die "the copy differs"
"$hyperctl" sync source copy >nothing.log
grep -q '^looked at: *0 B' nothing.log || die "a source that did not change was looked at: $(cat nothing.log)"
grep -q '^compared: *what the source says has changed' nothing.log || die "$(cat nothing.log)"

claim "a state that the source does not know any more is compared as a whole, which is said"
write_at 3 4096
"$hyperctl" sync disk.raw source >/dev/null
"$hyperctl" volume prune source@1 >/dev/null
"$hyperctl" sync source aside >aside.log
grep -q 'everything, since the source does not know what changed since "1:' aside.log || die "$(cat aside.log)"
"$hyperctl" compare aside disk.raw >/dev/null || die "it differs"

claim "another history under the same id is found out by its change id"
cp -a "$HYPER_ROOT/volumes/source.volume" "$HYPER_ROOT/volumes/twin.volume"
write_at 4 4096
"$hyperctl" sync disk.raw source >/dev/null
"$hyperctl" sync source aside >/dev/null
write_at 4 4096
"$hyperctl" sync disk.raw twin >/dev/null
"$hyperctl" sync twin aside >aside.log
grep -q 'everything, since the source does not know what changed' aside.log || die "$(cat aside.log)"
"$hyperctl" compare aside disk.raw >/dev/null || die "it differs"

claim "another source, and another size, are compared as a whole"
"$hyperctl" sync disk.raw aside >aside.log
grep -q 'everything, since the source keeps no track' aside.log || die "$(cat aside.log)"
truncate -s 80M disk.raw
write_at 1100 65536
"$hyperctl" sync disk.raw source >/dev/null
"$hyperctl" sync source copy >copy.log
grep -q 'everything, since the disk had 67108864 bytes and has 83886080' copy.log || die "$(cat copy.log)"
"$hyperctl" compare copy disk.raw --strict >/dev/null || die "the longer disk differs"
truncate -s 50000K disk.raw
"$hyperctl" sync disk.raw source >/dev/null
"$hyperctl" sync source copy >/dev/null
"$hyperctl" compare copy disk.raw --strict >/dev/null || die "the shorter disk differs"
[ "$("$hyperctl" root copy)" = "$("$hyperctl" root disk.raw)" ] || die "the shorter disk has another root"

claim "a sync of a snapshot, of a name of --spec, and of a view"
qemu-img convert -f raw -O qcow2 disk.raw image.qcow2
qemu-img snapshot -c before image.qcow2
qemu-io -c 'write -P 7 1M 1M' image.qcow2 >/dev/null
"$hyperctl" sync image.qcow2@before images --create >/dev/null
"$hyperctl" sync --spec image.qcow2 image images >/dev/null
"$hyperctl" compare images@1 disk.raw >/dev/null || die "the snapshot differs"
"$hyperctl" compare images@2 image.qcow2 >/dev/null || die "the image differs"
"$hyperctl" volume log images --json | json '[g["source"] for g in told]' >log.log
[ "$(cat log.log)" = "['file:$scratch/image.qcow2@before', 'file:$scratch/image.qcow2']" ] || die "$(cat log.log)"
"$hyperctl" sync --spec image.qcow2 image.vmdk images 2>error && die "a view was synced"
grep -q 'is a view; name the disk' error || die "$(cat error)"

claim "a limit is kept"
started=$(date +%s%N)
"$hyperctl" sync disk.raw slow --create --limit-rate 10M >/dev/null
[ $(($(date +%s%N) - started)) -gt 2000000000 ] || die "32 MiB took less than 2 seconds at 10 MiB/s"
