#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need nbdkit nbdinfo nbdcopy qemu-img qemu-io

for kind in "${awkward_kinds[@]}"; do make_disk "$kind" "$kind.raw"; done
serve_nbd ./*.raw
for kind in "${awkward_kinds[@]}"; do
    claim "$kind: nbdcopy and qemu-img read what the file holds"
    nbdcopy "$(uri "$kind")" - | cmp - "$kind.raw"
    same raw "$(uri "$kind")" "$kind.raw"
done

claim "the extents are the holes of the file"
nbdinfo --map "$(uri alternating)" | awk '{print $1, $2, $3}' >map
awk 'BEGIN {for (block = 0; block < 512; block++) print block * 65536, 65536, block % 2 ? 3 : 0}' >expected
cmp map expected

claim "reads that are aligned to nothing work, writes are refused"
qemu-io -r -f raw -c 'read -v 1049087 513' "$(uri odd-sectors)" >/dev/null
! qemu-io -f raw -c 'write 0 512' "$(uri random)" >said 2>&1 || ! grep -q wrote said || die "a write was accepted"
cmp <(nbdcopy "$(uri random)" -) random.raw

claim "prefetching a range does no harm"
nbdkit -U - "$plugin" random.raw --run 'qemu-io -r -f raw -c "read 0 1M" "$uri"' >/dev/null
