#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# qemu-img info sees the format and the exact size of each view; qemu-img check finds nothing to say about it.
. "$(dirname "$0")/lib.sh"
need "$hypernbd" qemu-img

mkdir disks
for kind in one-sector empty full odd-sectors random; do make_disk "$kind" "disks/$kind.raw"; done
serve_hypernbd disks

for kind in one-sector empty full odd-sectors random; do
    size=$(stat -c %s "disks/$kind.raw")
    claim "views of a disk that is: $kind ($size bytes)"
    for view in "${views[@]}"; do
        driver=$(driver_of "$view")
        [ "$view" = .monolithicFlat.vmdk ] && continue
        qemu-img info -f "$driver" --output=json "$(uri "$kind$view")" >info.json || die "$kind$view: info"
        python3 - "$driver" "$size" <<'P' || die "$kind$view: $(cat info.json)"
import json, sys
info = json.load(open("info.json"))
sys.exit(not (info["format"] == sys.argv[1] and info["virtual-size"] == int(sys.argv[2])))
P
        case $driver in raw | vpc) continue ;; esac  # qemu-img has no check for these
        qemu-img check -f "$driver" "$(uri "$kind$view")" >said 2>&1 || die "$kind$view: check: $(cat said)"
        ! grep -qiE 'leak|corrupt|error.*[1-9]' said || grep -q 'No errors' said || die "$kind$view: check: $(cat said)"
    done
done

claim "a qcow2 view is found to be qcow2 without being told"
qemu-img info --output=json "$(uri full.qcow2)" | grep -q '"format": "qcow2"'
