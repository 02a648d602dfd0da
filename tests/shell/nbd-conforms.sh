#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hypernbd does what the specification of the NBD protocol says, in every state, for right, wrong, late, huge and half
# requests: tests/nbd/conform, on images and views, read-only and writable.
. "$(dirname "$0")/lib.sh"
need "$hypernbd" python3 nbdinfo nbdcopy qemu-img

conforms() {  # EXPORT RAW ARGUMENT...
    claim "$1"
    python3 "$SRC/tests/nbd/conform" --socket "$socket" --export "$1" --raw "$2" "${@:3}" >said ||
        { grep -v '^ok' said; die "deviations: $1"; }
    tail -n 1 said
}

mkdir disks
make_disk random disks/web01.raw
make_disk odd-bytes disks/odd.raw
make_disk huge disks/huge.raw
make_disk alternating alternating.raw
qemu-img convert -c -f raw -O qcow2 alternating.raw disks/db01.qcow2
cp --sparse=always disks/web01.raw writable.raw

serve_hypernbd disks
nbdcopy "$(uri web01.qcow2)" view.qcow2
same qcow2 view.qcow2 disks/web01.raw
conforms web01 disks/web01.raw --complete
conforms odd disks/odd.raw
conforms huge disks/huge.raw
conforms db01 alternating.raw --complete
conforms web01.qcow2 view.qcow2
ends_well

serve_hypernbd --rw writable.raw disks/odd.raw
conforms writable writable.raw --rw --complete
conforms odd disks/odd.raw --rw
ends_well
