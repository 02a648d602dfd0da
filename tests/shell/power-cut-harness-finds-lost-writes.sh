#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The power-cut harness (tests/powercut) passes what is written with care, and sees what is not.
. "$(dirname "$0")/lib.sh"
need /usr/bin/python3 nbdfuse nbdkit fuse fusermount3 losetup mkfs.ext4 mkfs.xfs
need_root "mount"
losetup --find >/dev/null 2>&1 || skip "there are no loop devices"
nbdkit --dump-plugin python >/dev/null 2>&1 || skip "nbdkit's python plugin is missing"
powercut=$SRC/tests/powercut
control="/usr/bin/python3 $powercut/control"
export TMPDIR=$scratch
declare -A size_mib=([ext4]=64 [xfs]=300)

record() { "$powercut/record" "$1" "${size_mib[$1]}" "$1.$2" "$control work $2"; }
replay() { "$powercut/replay" "$1.$2" "$3" 1 "$control check $2"; }

for name in append rename order whole; do
    for kind in ext4 xfs; do
        claim "$kind, $name: what was done with care is there after each power cut"
        record $kind $name
        replay $kind $name 16
    done
done
for name in append rename order whole; do
    for kind in ext4 xfs; do
        claim "$kind, $name: what was done without is seen to be lost"
        record $kind $name-careless
        status=0
        replay $kind $name-careless 200 2>said.log || status=$?
        [ $status = 1 ] && grep -q '^lost: ' said.log || die "$kind, $name-careless: ended with $status: $(cat said.log)"
        head -n 1 said.log
    done
done

claim "where a check fails, the disk is kept as the power cut left it"
mkdir left
mount -o loop,nouuid xfs.rename-careless/failed.img left
mounts+=("$scratch/left")
MOUNT=$scratch/left PROMISES=xfs.rename-careless/failed.promises $control check rename-careless 2>said.log &&
    die "the check passes"
grep -q '^lost: ' said.log || die "the check fails otherwise: $(cat said.log)"
umount left

claim "a workload that fails is no recording"
"$powercut/record" ext4 64 failing false 2>said.log && die "it passed"
grep -q 'ended with 1' said.log || die "it says: $(cat said.log)"
