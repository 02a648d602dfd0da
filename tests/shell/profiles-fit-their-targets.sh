#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The profile of a cloud or hypervisor gives an image of the format and the size that it imports, or says why not.
. "$(dirname "$0")/lib.sh"
need "$hypernbd" nbdinfo qemu-img

mkdir disks
make_disk random disks/web01.raw  # 96 MiB and a sector
truncate -s 3T disks/big.raw
serve_hypernbd disks

MiB=1048576 GiB=1073741824
virtual_size() {
    qemu-img info -f "$1" --output=json "$2" | python3 -c 'import json, sys; print(json.load(sys.stdin)["virtual-size"])'
}
fits() {  # PROFILE SUFFIX DRIVER MULTIPLE
    claim "$1: $2 of a whole number of $4 bytes"
    local at size
    at=$(uri "web01.$1.$2")
    same "$3" "$at" disks/web01.raw
    size=$(virtual_size "$3" "$at")
    [ $((size % $4)) -eq 0 ] || die "$1: $size bytes"
}
fits aws vmdk vmdk $MiB
fits azure vhd vpc $MiB
fits gcp raw raw $GiB
fits oci qcow2 qcow2 $MiB
fits openstack qcow2 qcow2 $MiB
fits alibaba qcow2 qcow2 $MiB
fits vsphere vmdk vmdk $MiB
fits hyperv vhdx vhdx $MiB

claim "azure: the file is the disk and a footer of 512 bytes"
[ "$(nbdinfo --size "$(uri web01.azure.vhd)")" = $((97 * MiB + 512)) ] || die "another size"

claim "a disk over 2040 GiB cannot go to azure, and the reason is said"
! nbdinfo "$(uri big.azure.vhd)" >said 2>&1 || die "it was served"
grep -q '2040 GiB' "$scratch"/nbd0.log said || die "no reason given: $(cat said "$scratch"/nbd0.log)"
