#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every view of awkward disks holds the disk, as qemu reads it from the mount.
. "$(dirname "$0")/lib.sh"
need qemu-img qemu-io

mkdir disks
for kind in "${awkward_kinds[@]}" huge; do make_disk "$kind" "disks/$kind.raw"; done
mount_hyperfs disks

for kind in "${awkward_kinds[@]}"; do
    claim "views of a disk that is: $kind"
    for view in "${views[@]}"; do
        file=$mount/$kind$view
        if [ "$(driver_of "$view")" = raw ]; then
            cmp -n "$(stat -c %s "disks/$kind.raw")" "$file" "disks/$kind.raw" || die "$file differs"
        fi
        same "$(driver_of "$view")" "$file" "disks/$kind.raw"
    done
done

claim "views of a disk of 5 TiB"
for view in .raw .qcow2 .vmdk .streamOptimized.vmdk .vhdx .fixed.vhdx; do
    same_huge "$(driver_of "$view")" "$mount/huge$view" disks/huge.raw
done

claim "sparse views do not store the zeros of a disk of 5 TiB"
for view in .raw .qcow2 .vmdk .vhdx; do
    stored=$(du --block-size=1M "$mount/huge$view" | cut -f1)
    [ "$stored" -lt 2048 ] || die "huge$view says that it stores $stored MiB"
done
