#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hypernbd tells which layer of a chain provides what, by the metadata context qemu:allocation-depth, as qemu-nbd -A does.
. "$(dirname "$0")/lib.sh"
need "$hypernbd" qemu-img qemu-io qemu-nbd nbdinfo python3

# The map of a URI, or of a command in brackets, neighbours of one depth joined.
depths() {
    nbdinfo --map=qemu:allocation-depth --json -- "$@" | python3 -c '
import json, sys
runs = []
for extent in json.load(sys.stdin):
    if runs and runs[-1][2] == extent["type"]:
        runs[-1][1] += extent["length"]
    else:
        runs.append([extent["offset"], extent["length"], extent["type"]])
for run in runs:
    print(*run)'
}
# Fails unless our map of a name is what qemu-nbd says of the file, with at least so many different depths.
as_qemu() {  # NAME FORMAT FILE DEPTHS [QEMU-NBD-ARGUMENT...]
    depths "$(uri "$1")" >ours
    depths [ qemu-nbd -A -r -f "$2" "${@:5}" "$3" ] >theirs
    diff ours theirs >difference || die "the depths of $1 and of $3 differ: $(head difference)"
    [ "$(cut -d' ' -f3 ours | sort -u | wc -l)" -ge "$4" ] || die "$1 has too few depths: $(cat ours)"
}
write() {  # FORMAT FILE COMMAND...
    local commands=() command
    for command in "${@:3}"; do commands+=(-c "$command"); done
    qemu-io -f "$1" "${commands[@]}" "$2" >io.out || die "$2: $(cat io.out)"
}

mkdir disks
cd disks
# The base ends before the others do. Writes overlap at odd places, zeros are written in each layer.
qemu-img create -q -f qcow2 base.qcow2 6M
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 middle.qcow2 8M
qemu-img create -q -f qcow2 -b middle.qcow2 -F qcow2 top.qcow2 9M
write qcow2 base.qcow2 'write 0 1M' 'write 5M 1M' 'write -z 2M 128k'
write qcow2 middle.qcow2 'write 512k 1000k' 'write -z 3M 64k' 'write 6500k 4k'
write qcow2 top.qcow2 'write 700k 64k' 'write -c 4M 64k' 'write -z 0 64k'

qemu-img create -q -f qcow2 -o extended_l2=on,cluster_size=64k fine-base.qcow2 4M
qemu-img create -q -f qcow2 -o extended_l2=on,cluster_size=64k -b fine-base.qcow2 -F qcow2 fine.qcow2 4M
write qcow2 fine-base.qcow2 'write 0 1M'
write qcow2 fine.qcow2 'write 2k 2k' 'write 1022k 6k' 'write -z 96k 4k' 'write -z 2M 2k'

# A VMDK knows its parent by an id that changes when the parent is written, so each is written before the next is made.
qemu-img create -q -f vmdk vbase.vmdk 40M
write vmdk vbase.vmdk 'write 0 1M' 'write 35M 1M'
qemu-img create -q -f vmdk -b vbase.vmdk -F vmdk vmiddle.vmdk
write vmdk vmiddle.vmdk 'write 512k 1000k'
qemu-img create -q -f vmdk -b vmiddle.vmdk -F vmdk vtop.vmdk
write vmdk vtop.vmdk 'write 700k 64k' 'write 36M 64k'

qemu-img create -q -f qcow2 saved.qcow2 4M
write qcow2 saved.qcow2 'write 0 1M'
qemu-img snapshot -c before saved.qcow2
write qcow2 saved.qcow2 'write 2M 1M'

truncate -s 8M sparse.raw
write raw sparse.raw 'write 2M 4k'
qemu-img create -q -f qcow2 -b sparse.raw -F raw over-raw.qcow2
write qcow2 over-raw.qcow2 'write 1M 64k'
cd ..
serve_hypernbd disks

claim "a chain of three qcow2 files, each larger than its parent"
as_qemu top qcow2 disks/top.qcow2 4
as_qemu middle qcow2 disks/middle.qcow2 3
as_qemu base qcow2 disks/base.qcow2 2

claim "a chain of qcow2 files with subclusters"
as_qemu fine qcow2 disks/fine.qcow2 3

claim "a qcow2 file over a raw one with holes, which count as the raw file's own"
as_qemu over-raw qcow2 disks/over-raw.qcow2 2
as_qemu sparse raw disks/sparse.raw 1

claim "an internal snapshot"
as_qemu saved@before qcow2 disks/saved.qcow2 2 --load-snapshot=snapshot.name=before

claim "a chain of three VMDK files"
as_qemu vtop vmdk disks/vtop.vmdk 4

claim "a view of a chain has one layer"
[ "$(depths "$(uri top.vmdk)" | cut -d' ' -f1,3)" = "0 1" ] || die "$(depths "$(uri top.vmdk)")"
