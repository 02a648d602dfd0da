#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin
need libvirtd virsh nasm qemu-system-x86_64 qemu-nbd qemu-img podchecker

claim "the man page is sound, and names every option"
pod=$SRC/providers/libvirt/hyper-provider-libvirt.pod
podchecker "$pod" 2>pod.log || die "$(cat pod.log)"
for option in connect scratch quiesce; do grep -q "^=item B<$option=>" "$pod" || die "$option is not in the man page"; done

# QEMU runs as another user.
chmod 711 .
python3 "$SRC/tests/libvirt/running_guests.py" || { cp lab/libvirtd.log . ; die "see above"; }
