#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A view is the same file through every door: nbdcopy from hypernbd and from nbdkit, cp from the mount, byte for byte.
. "$(dirname "$0")/lib.sh"
need "$hypernbd" nbdkit nbdcopy

mkdir disks
for kind in odd-sectors random; do make_disk "$kind" "disks/$kind.raw"; done
serve_nbd disks
plugin_socket=$socket
serve_hypernbd disks
mount_hyperfs disks

for kind in odd-sectors random; do
    for view in "${views[@]}"; do
        claim "$kind$view"
        nbdcopy "$(uri "$kind$view")" over-nbd
        nbdcopy "nbd+unix:///$kind$view?socket=$plugin_socket" over-nbdkit
        cmp over-nbd over-nbdkit || die "$kind$view differs between hypernbd and nbdkit"
        cmp over-nbd "$mount/$kind$view" || die "$kind$view differs between NBD and the mount"
        cp --sparse=auto "$mount/$kind$view" copied
        cmp over-nbd copied || die "$kind$view differs when copied by its holes"
        rm -f over-nbd over-nbdkit copied
    done
done
