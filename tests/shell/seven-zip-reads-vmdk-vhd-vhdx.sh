#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 7-Zip, the strictest reader of these formats in Debian, finds the views whole and takes the disk out of them.
. "$(dirname "$0")/lib.sh"
need 7zz

mkdir disks
kinds=(full last-byte odd-sectors alternating random)
for kind in "${kinds[@]}"; do make_disk "$kind" "disks/$kind.raw"; done
mount_hyperfs disks

for kind in "${kinds[@]}"; do
    claim "views of a disk that is: $kind"
    wanted=$(sha <"disks/$kind.raw")
    for view in .vmdk .streamOptimized.vmdk .vhd .fixed.vhd .vhdx .fixed.vhdx; do
        type=${view##*.}
        # 7-Zip takes no VHDX of an odd size, not of qemu-img's making either.
        [ $type = vhdx ] && [ $(($(stat -c %s "disks/$kind.raw") % 1048576)) -ne 0 ] && continue
        7zz t "-t$type" "$mount/$kind$view" >said 2>&1 || die "$kind$view: 7zz t: $(cat said)"
        ! grep -qiE 'warning|error' said || grep -q 'Everything is Ok' said || die "$kind$view: 7zz t: $(cat said)"
        [ "$(7zz e -so "-t$type" "$mount/$kind$view" | sha)" = "$wanted" ] || die "$kind$view: 7zz took out something else"
    done
done
