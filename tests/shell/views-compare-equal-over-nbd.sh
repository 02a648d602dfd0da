#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every view of awkward disks holds the disk, as qemu reads it through NBD.
. "$(dirname "$0")/lib.sh"
need "$hypernbd" nbdinfo qemu-img qemu-io

mkdir disks
for kind in "${awkward_kinds[@]}" huge; do make_disk "$kind" "disks/$kind.raw"; done
serve_hypernbd disks

claim "the exports of a disk are the disk and its views"
nbdinfo --list --json "$(uri '')" | python3 -c '
import json, sys
for export in json.load(sys.stdin)["exports"]: print(export["export-name"])' | grep -E '^full(\.|$)' | sort >listed
printf '%s\n' full "${views[@]/#/full}" | grep -v '^full.raw$' | sort >wanted
grep -v '^full.raw$' listed | diff wanted - || die "other exports than expected"

for kind in "${awkward_kinds[@]}"; do
    claim "views of a disk that is: $kind"
    for view in '' "${views[@]}"; do
        # The flat descriptor names a file beside it, which NBD has no notion of.
        [ "$view" = .monolithicFlat.vmdk ] && continue
        # qemu rounds odd sizes of NBD exports; nbdcopy does not.
        if [ "$kind" = odd-bytes ] && [ "$(driver_of "$view")" = raw ]; then
            nbdcopy "$(uri "$kind$view")" copy
            truncate -s '%512' copy
            same raw copy "disks/$kind.raw"
        else
            same "$(driver_of "$view")" "$(uri "$kind$view")" "disks/$kind.raw"
        fi
    done
done

claim "views of a disk of 5 TiB"
for view in "" .qcow2 .vmdk .streamOptimized.vmdk .vhdx .fixed.vhdx; do
    same_huge "$(driver_of "$view")" "$(uri "huge$view")" disks/huge.raw
done
for view in "" .qcow2; do same "$(driver_of "$view")" "$(uri "huge$view")" disks/huge.raw; done
