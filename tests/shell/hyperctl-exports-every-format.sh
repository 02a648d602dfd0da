#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need qemu-img python3

make_disk random disk.raw
claim "an export in each format and sub-format holds the same as its source, and checks clean"
for output in raw: qcow2: vmdk: vmdk:streamOptimized vmdk:monolithicFlat vhd: vhd:fixed vhdx: vhdx:fixed; do
    format=${output%%:*} subformat=${output#*:}
    name=out$subformat.$format
    "$hyperctl" export disk.raw "$name" ${subformat:+--subformat "$subformat"}
    same "$(driver_of "$name")" "$name" disk.raw
    "$hyperctl" compare disk.raw "$name" >/dev/null || die "$name: compare says $?"
    "$hyperctl" check "$name" >check.log 2>&1 ||
        die "$name: check finds: $(cat check.log)"
done

claim "an export of each image reads back as the disk that was put in"
for image in out.qcow2 out.vmdk outstreamOptimized.vmdk outmonolithicFlat.vmdk out.vhd outfixed.vhd out.vhdx; do
    "$hyperctl" export "$image" back.raw --force
    "$hyperctl" compare disk.raw back.raw >/dev/null || die "$image: differs when it is read back"
done

claim "an export is sparse, and in the cluster size asked for"
make_disk last-byte sparse.raw
"$hyperctl" export sparse.raw sparse-copy.raw
[ "$(stat -c %s sparse-copy.raw)" = "$(stat -c %s sparse.raw)" ] || die "the size differs"
[ "$(du -k sparse-copy.raw | cut -f1)" -lt 1024 ] || die "the copy is not sparse"
"$hyperctl" export sparse.raw large.qcow2 -o cluster_size=2M
qemu-img info large.qcow2 | grep -q '^cluster_size: 2097152' || die "the cluster size is not 2 MiB"

claim "a profile decides format and padding, and says why a disk cannot go there"
"$hyperctl" export disk.raw disk.vhd --profile azure
[ "$(stat -c %s disk.vhd)" = $((97 * 1048576 + 512)) ] || die "not padded to whole MiB"
truncate -s 3T huge.raw
"$hyperctl" export huge.raw huge.vhd --profile azure 2>huge.log && die "3 TiB went to Azure"
grep -q '^hyperctl: .*2040 GiB' huge.log || die "no reason given: $(cat huge.log)"

claim "nothing is overwritten without --force, and a failed export leaves nothing behind"
"$hyperctl" export disk.raw out.qcow2 2>force.log && die "out.qcow2 was overwritten"
grep -q -- '--force' force.log || die "no advice: $(cat force.log)"
mkdir empty
"$hyperctl" export disk.raw empty/x.vmdk -O qcow2 2>/dev/null && die "a name of the wrong format was taken"
# A limit on the size of files makes the write fail.
(ulimit -f 1024; trap '' XFSZ; "$hyperctl" export disk.raw empty/x.qcow2 2>/dev/null) && die "wrote past the limit"
[ -z "$(ls -A empty)" ] || die "left behind: $(ls -A empty)"

claim "progress goes by the bytes that move, and --json tells what was written"
"$hyperctl" export sparse.raw progress.raw -p 2>progress.log
grep -q '100.0 % of' progress.log || die "no progress: $(cat progress.log)"
"$hyperctl" export sparse.raw json.raw --json | python3 -c '
import json, sys
told = json.load(sys.stdin)
assert told["file-size"] == 64 << 20 and 0 < told["bytes-written"] <= 1 << 20, told'
