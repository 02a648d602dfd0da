#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need python3 cmp nbdkit

json() { python3 -c 'import json, sys; told = json.load(sys.stdin); print('"$1"')'; }

head -c 16M /dev/urandom >1.raw
cp 1.raw 2.raw
head -c 100000 /dev/urandom | dd of=2.raw bs=64K seek=7 conv=notrunc status=none
truncate -s 12M 2.raw
truncate -s 16M 2.raw
"$hyperctl" sync 1.raw web01.volume --create >/dev/null
"$hyperctl" sync 2.raw web01.volume >/dev/null

claim "what changed since a generation brings a raw file to the newer one, and nothing else is written"
cp 1.raw dest.raw
"$hyperctl" export --since 1 web01.volume@2 dest.raw --json >export.json
cmp 2.raw dest.raw || die "it differs"
[ "$(json 'told["bytes-written"], told["bytes-zeroed"]' <export.json)" = "$((2 * 65536)) $((4 << 20))" ] || die "$(cat export.json)"
[ $(($(stat -c %b dest.raw) * 512)) -le $((12 << 20)) ] || die "zeros take space"
head -c 16M /dev/zero | tr '\0' z >z.raw
"$hyperctl" export --since 1 web01.volume@2 z.raw >said
python3 - <<'END' || die "something else was written"
got, two = open("z.raw", "rb").read(), open("2.raw", "rb").read()
changed = [(7 * 65536, 9 * 65536), (12 << 20, 16 << 20)]
want = bytearray(b"z" * (16 << 20))
for start, end in changed:
    want[start:end] = two[start:end]
assert got == bytes(want)
END
grep -q '128 KiB written and 4 MiB zeroed, in 2 runs that changed since generation 1' said || die "$(cat said)"

claim "a disk of another size, another format, or no such generation is refused"
for dest in short.raw long.raw; do
    truncate -s $([ $dest = short.raw ] && echo 8M || echo 17M) $dest
    "$hyperctl" export --since 1 web01.volume $dest 2>error && die "$dest was written"
    grep -q 'does not hold generation 1' error || die "$(cat error)"
done
cp 1.raw dest.qcow2
"$hyperctl" export --since 1 web01.volume dest.qcow2 2>error && die "a qcow2 file was written"
cmp 1.raw dest.qcow2
for wrong in "--since 3 web01.volume dest.raw" "--since 2 web01.volume@1 dest.raw" "--since 1 1.raw dest.raw" "--since 1 web01.volume missing.raw" \
    "--since 1 web01.volume dest.raw --force" "--since 1 web01.volume dest.raw -O qcow2"; do
    "$hyperctl" export $wrong 2>error && die "$wrong went well"
    grep -q '^hyperctl: ' error || die "$wrong: $(cat error)"
done
[ ! -e missing.raw ] || die "a file was made"
truncate -s 18M 3.raw
"$hyperctl" sync 3.raw web01.volume >/dev/null
"$hyperctl" export --since 2 web01.volume dest.raw 2>error && die "a delta between two sizes"
grep -q 'export it as a whole' error || die "$(cat error)"

claim "the same to an NBD server, with zeros as zeros"
cp 1.raw served.raw
nbdkit --foreground --unix "$scratch/w.sock" --pidfile w.pid file served.raw 2>nbdkit.log &
servers+=($!)
eventually test -s w.pid || die "nbdkit did not start"
"$hyperctl" export --since 1 web01.volume@2 "nbd+unix:///?socket=$scratch/w.sock" >said || die "it went wrong"
cmp 2.raw served.raw || die "it differs"
[ $(($(stat -c %b served.raw) * 512)) -le $((12 << 20)) ] || die "zeros take space"
nbdkit --foreground -r --unix "$scratch/r.sock" --pidfile r.pid file 1.raw 2>nbdkit.log &
servers+=($!)
eventually test -s r.pid || die "nbdkit did not start"
"$hyperctl" export --since 1 web01.volume@2 "nbd+unix:///?socket=$scratch/r.sock" 2>error && die "a read-only export was written"
grep -q 'read-only' error || die "$(cat error)"

if [ "$(id -u)" = 0 ] && command -v losetup >/dev/null; then
    claim "the same to a block device"
    cp 1.raw backing.raw
    device=$(losetup -f --show backing.raw 2>/dev/null) || skip "this machine has no loop devices"
    "$hyperctl" export --since 1 web01.volume@2 "$device" >/dev/null || { losetup -d "$device"; die "it went wrong"; }
    blockdev --flushbufs "$device"
    losetup -d "$device"
    cmp 2.raw backing.raw || die "it differs"
fi
