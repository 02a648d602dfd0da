#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin
need libvirtd virsh swtpm nasm qemu-system-x86_64 qemu-nbd qemu-img
# QEMU runs as another user.
chmod 711 .
python3 "$SRC/tests/libvirt/restored_machines.py" || { cp lab/libvirtd.log . ; die "see above"; }
