#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# libqcow, libvmdk and libvhdi read the disk out of the views.
. "$(dirname "$0")/lib.sh"
need /usr/bin/python3 vmdkinfo vhdiinfo qcowinfo
/usr/bin/python3 -c 'import pyvmdk, pyvhdi, pyqcow' 2>/dev/null || skip "the Python modules of libyal are missing"

mkdir disks
kinds=(full last-byte odd-sectors alternating random)
for kind in "${kinds[@]}"; do make_disk "$kind" "disks/$kind.raw"; done
mount_hyperfs disks

cat >read.py <<'P'
import hashlib, sys
import pyqcow, pyvhdi, pyvmdk
path, suffix = sys.argv[1], sys.argv[1].rsplit(".", 1)[1]
if suffix == "vmdk":
    image = pyvmdk.handle()
    image.open(path)
    image.open_extent_data_files()
elif suffix == "qcow2":
    image = pyqcow.file()
    image.open(path)
else:
    image = pyvhdi.file()
    image.open(path)
digest, left = hashlib.sha256(), image.get_media_size()
while left > 0:
    part = image.read_buffer(min(left, 1 << 20))
    if not part:
        sys.exit("short read")
    digest.update(part)
    left -= len(part)
print(digest.hexdigest())
P
for kind in "${kinds[@]}"; do
    claim "views of a disk that is: $kind"
    wanted=$(sha <"disks/$kind.raw")
    for view in .qcow2 .vmdk .streamOptimized.vmdk .monolithicFlat.vmdk .vhd .fixed.vhd .vhdx .fixed.vhdx; do
        case $view in
            *.qcow2) info=qcowinfo ;;
            *.vmdk) info=vmdkinfo ;;
            *) info=vhdiinfo ;;
        esac
        $info "$mount/$kind$view" >said 2>&1 || die "$kind$view: $info: $(cat said)"
        got=$(/usr/bin/python3 read.py "$mount/$kind$view") || die "$kind$view: libyal cannot read it"
        [ "$got" = "$wanted" ] || die "$kind$view: libyal reads something else"
    done
done
