#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hypernbd tells what changed between generations of a volume: as dirty bitmaps, of an export and in a qcow2 view, as an overlay, and as a
# raw disk with holes; plain tools apply the last two, each in the way that the man page describes, and not in others.
. "$(dirname "$0")/lib.sh"
need "$hypernbd" "$hyperctl" qemu-img qemu-io nbdinfo nbdcopy nbdkit python3

write() {  # COMMAND...
    local commands=() command
    for command; do commands+=(-c "$command"); done
    qemu-io -f raw "${commands[@]}" disk.raw >io.out || die "$(cat io.out)"
}
# The disk becomes the volume's next generation, and a file of its own.
keep() {  # NUMBER
    "$hyperctl" sync --create disk.raw disks/web.volume >sync.out 2>&1 || die "$(cat sync.out)"
    cp --sparse=always disk.raw "$1.raw"
}
mkdir disks
truncate -s 24M disk.raw
write 'write -P 1 0 8M' 'write -P 2 10M 2M' 'write -P 3 23M 1M'
keep 1
# Data that changed, data that became zeros, zeros that became data; parts of blocks, of clusters, and of nbdcopy's requests.
write 'write -P 4 64k 64k' 'write -z 1M 128k' 'write -z 10M 4k' 'write -P 5 20973k 3k' 'write -P 6 24575k 1k'
keep 2
write 'write -P 7 5M 1M' 'write -z 64k 64k'
keep 3
serve_hypernbd disks

# The dirty runs that a context tells of an export, one "offset length" a line.
dirty() {  # EXPORT GENERATION
    nbdinfo --map="qemu:dirty-bitmap:$2" --json "$(uri "$1")" |
        python3 -c 'import json, sys; [print(e["offset"], e["length"]) for e in json.load(sys.stdin) if e["type"] == 1]'
}
# The same by qemu, which tells dirty parts as holes.
dirty_by_qemu() {  # EXPORT GENERATION
    qemu-img map --output=json --image-opts \
        "driver=nbd,server.type=unix,server.path=$socket,export=$1,x-dirty-bitmap=qemu:dirty-bitmap:$2" |
        python3 -c 'import json, sys; [print(e["start"], e["length"]) for e in json.load(sys.stdin) if not e["data"]]'
}
# The blocks of 64 KiB in which two files differ, neighbours joined.
differing() {  # FILE FILE
    python3 - "$1" "$2" <<'PY'
import sys
a, b = (open(name, "rb").read() for name in sys.argv[1:])
block, runs = 65536, []
for at in range(0, len(a), block):
    if a[at:at + block] != b[at:at + block]:
        if runs and sum(runs[-1]) == at:
            runs[-1][1] += block
        else:
            runs.append([at, block])
for run in runs:
    print(*run)
PY
}

claim "a disk has a bitmap for each earlier generation, and a view has none"
contexts() { nbdinfo --json "$(uri "$1")" | python3 -c 'import json, sys; print(*json.load(sys.stdin)["exports"][0]["contexts"])'; }
[ "$(contexts web@3)" = "base:allocation qemu:allocation-depth qemu:dirty-bitmap:2 qemu:dirty-bitmap:1" ] || die "$(contexts web@3)"
[ "$(contexts web@1)" = "base:allocation qemu:allocation-depth" ] || die "$(contexts web@1)"
[ "$(contexts web@3.qcow2)" = "base:allocation qemu:allocation-depth" ] || die "$(contexts web@3.qcow2)"

claim "what a bitmap calls dirty is what changed"
for pair in "1 2" "1 3" "2 3"; do
    read -r from to <<<"$pair"
    differing "$from.raw" "$to.raw" >expected
    [ -s expected ] || die "nothing changed from $from to $to"
    dirty "web@$to" "$from" >told
    diff expected told || die "of what changed from $from to $to, nbdinfo is told something else"
    dirty_by_qemu "web@$to" "$from" >told
    diff expected told || die "of what changed from $from to $to, qemu is told something else"
done

claim "a qcow2 view carries what changed as a persistent bitmap, which qemu-nbd shows"
for pair in "1 2" "1 3" "2 3"; do
    read -r from to <<<"$pair"
    nbdcopy "$(uri "web@$to.since-$from.qcow2")" with-bitmap.qcow2
    qemu-img check -q with-bitmap.qcow2 || die "qemu-img check finds errors in the view with a bitmap"
    same qcow2 with-bitmap.qcow2 "$to.raw"
    differing "$from.raw" "$to.raw" >expected
    nbdinfo --map="qemu:dirty-bitmap:$from" --json -- [ qemu-nbd -r -f qcow2 -B "$from" with-bitmap.qcow2 ] |
        python3 -c 'import json, sys; [print(e["offset"], e["length"]) for e in json.load(sys.stdin) if e["type"] == 1]' >told
    diff expected told || die "the bitmap $from of $to tells something else"
done
! nbdinfo "$(uri web@2.since-3.qcow2)" >/dev/null 2>&1 || die "a generation knows what changed since a later one"

claim "an overlay holds what changed, and qemu-img commits it to a copy of the state before"
for pair in "1 2" "1 3" "2 3"; do
    read -r from to <<<"$pair"
    cp "$from.raw" base.raw
    nbdcopy "$(uri "web@$from..$to.qcow2")" overlay.qcow2
    [ "$(stat -c %s overlay.qcow2)" -lt 2500000 ] || die "the overlay is too large"
    qemu-img check -q overlay.qcow2 || die "qemu-img check finds errors in the overlay"
    qemu-img rebase -u -f qcow2 -b base.raw -F raw overlay.qcow2
    same qcow2 overlay.qcow2 "$to.raw"
    qemu-img commit -q overlay.qcow2
    cmp base.raw "$to.raw" || die "committed, the overlay $from..$to gives another disk"
done

# Applies the raw delta from 1 to 2 to a copy of 1 behind an NBD server.
apply() {  # NBDCOPY-ARGUMENT...
    cp 1.raw copy.raw
    nbdcopy "$@" -- "$(uri web@1..2)" [ nbdkit --exit-with-parent file copy.raw ]
}
claim "nbdcopy applies a raw delta with both options"
apply --destination-is-zero -S 0
cmp copy.raw 2.raw || die "the raw delta gives another disk"

claim "nbdcopy without one of them, or to a local file, gives another disk"
apply --destination-is-zero
! cmp -s copy.raw 2.raw || die "-S 0 is not needed"
apply -S 0
! cmp -s copy.raw 2.raw || die "--destination-is-zero is not needed"
cp 1.raw copy.raw
nbdcopy --destination-is-zero -S 0 "$(uri web@1..2)" copy.raw
! cmp -s copy.raw 2.raw || die "a local file can be written to"

claim "a delta is not served in other formats"
for view in .vmdk .vhd .vhdx .fixed.vhd .azure.vhd .openstack.qcow2; do
    ! nbdinfo "$(uri "web@1..2$view")" >/dev/null 2>&1 || die "web@1..2$view is served"
done
