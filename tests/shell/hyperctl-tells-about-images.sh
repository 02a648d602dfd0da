#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need qemu-img qemu-io python3

json() { python3 -c "import json, sys; d = json.load(sys.stdin); assert $1, d"; }
expect() {  # STATUS COMMAND...
    local status=0 wanted=$1
    shift
    "$@" >said.log 2>&1 || status=$?
    [ $status = "$wanted" ] || die "$*: status $status, not $wanted: $(cat said.log)"
}

mkdir images
make_disk random disk.raw
qemu-img convert -f raw -O qcow2 disk.raw images/web01.qcow2
qemu-img snapshot -c before images/web01.qcow2
qemu-io -c "write -P 7 1M 64k" images/web01.qcow2 >/dev/null
qemu-img create -q -f qcow2 -F qcow2 -b web01.qcow2 images/child.qcow2

claim "list shows disks with their snapshots, and all their views"
"$hyperctl" list images --json | json '[e["name"] for e in d] == ["child", "web01", "web01@before"]'
"$hyperctl" list images --exports | grep -q '^web01@before.streamOptimized.vmdk ' || die "a view is missing"

claim "list tells of disks that cannot be served, and ends with 3"
mkdir mixed
echo nonsense >mixed/bad.qcow2
cp disk.raw mixed/good.raw
expect 3 "$hyperctl" list mixed
grep -q 'hyperctl: bad: cannot be served: .*bad.qcow2' said.log || die "no reason: $(cat said.log)"

claim "info tells the size, the snapshots and the parents that qemu-img tells"
size=$(stat -c %s disk.raw)
"$hyperctl" info images/child.qcow2 --json | json "d['virtual-size'] == $size and d['parent']['snapshots'] == ['before']"
"$hyperctl" info images/web01.qcow2 --as streamOptimized.vmdk | grep -q '^view:' || die "no view"

claim "map tells the data that qemu-img map tells"
make_disk alternating alternating.raw
qemu-img convert -f raw -O qcow2 alternating.raw alternating.qcow2
"$hyperctl" map alternating.qcow2 --json >ours.json
qemu-img map --output=json alternating.qcow2 >theirs.json
python3 -c '
import json
runs = lambda name: [(e["start"], e["length"]) for e in json.load(open(name)) if e["data"]]
assert runs("ours.json") == runs("theirs.json"), runs("ours.json")[:3]'

claim "check ends with 0 for a good image and view, 2 for errors, 1 where it cannot check"
expect 0 "$hyperctl" check images/child.qcow2
expect 0 "$hyperctl" check images/web01.qcow2 --as azure.vhd
expect 0 "$hyperctl" check --spec images web01@before.vhdx
cp images/web01.qcow2 broken.qcow2
printf '\377\377\377' | dd of=broken.qcow2 bs=1 seek=41 conv=notrunc status=none  # l1_table_offset
expect 2 "$hyperctl" check broken.qcow2
grep -q '^error: ' said.log || die "no finding: $(cat said.log)"
expect 1 "$hyperctl" check nothing.qcow2

claim "compare ends with 0 for the same, 1 with the first byte that differs, 2 for an error"
expect 0 "$hyperctl" compare images/web01.qcow2@before disk.raw
expect 0 "$hyperctl" compare images/web01.qcow2 images/child.qcow2 -p
expect 0 "$hyperctl" compare --spec images web01@before.raw disk.raw
cp disk.raw other.raw
for offset in 77777777 5000001; do
    printf '\0' | dd of=other.raw bs=1 seek=$offset conv=notrunc status=none
    printf '\1' | dd of=disk.raw bs=1 seek=$offset conv=notrunc status=none
done
expect 1 "$hyperctl" compare disk.raw other.raw
grep -q 'at offset 5000001\.' said.log || die "wrong offset: $(cat said.log)"
cp disk.raw longer.raw
truncate -s +1M longer.raw
expect 0 "$hyperctl" compare disk.raw longer.raw
expect 1 "$hyperctl" compare --strict disk.raw longer.raw
expect 2 "$hyperctl" compare disk.raw nothing.raw
expect 2 "$hyperctl" compare disk.raw

claim "errors begin with the program's name, also for a wrong command line"
expect 1 "$hyperctl" nonsense
grep -q '^hyperctl: ' said.log || die "$(cat said.log)"
expect 0 "$hyperctl" --version
expect 0 "$hyperctl" export --help
