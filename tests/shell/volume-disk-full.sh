#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need python3 mkfs.ext4 losetup
need_root "mount a small file system"

claim "a full disk: the error says so, no generation is lost, and work goes on after space is freed"
truncate -s 64M small.img
mkfs.ext4 -q -m 0 small.img
mkdir small
mount -o loop small.img small 2>/dev/null || skip "this machine has no loop devices"
mounts+=("$scratch/small")
head -c 12M /dev/urandom >1.raw
head -c 40M /dev/urandom >2.raw
head -c 14M /dev/urandom >small/ballast
volume=small/web01.volume
"$hyperctl" volume create $volume --no-compress
"$hyperctl" sync 1.raw $volume >/dev/null
status=0
"$hyperctl" sync 2.raw $volume >said 2>error || status=$?
[ $status = 1 ] && grep -qi 'no space left on device' error || die "$status: $(cat said error)"
"$hyperctl" volume verify $volume --all >verify.log || die "verify: $(cat verify.log)"
"$hyperctl" compare $volume 1.raw >/dev/null || die "generation 1 differs"
[ "$("$hyperctl" volume log $volume | wc -l)" = 2 ] || die "$("$hyperctl" volume log $volume)"
rm small/ballast
head -c 20M 2.raw >3.raw
"$hyperctl" sync 3.raw $volume >/dev/null || die "it does not go on"
"$hyperctl" compare $volume@2 3.raw >/dev/null || die "generation 2 differs"
"$hyperctl" compare $volume@1 1.raw >/dev/null || die "generation 1 differs"
"$hyperctl" volume verify $volume --all >verify.log || die "verify: $(cat verify.log)"
