#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The raw view of any image, as a file on the mount, is a disk to the kernel: its file system mounts.
. "$(dirname "$0")/lib.sh"
need losetup qemu-img sfdisk mkfs.ext4
need_root "mount"
losetup --find >/dev/null 2>&1 || skip "there are no loop devices"

make_disk partitioned disk.raw
mkdir images
qemu-img convert -f raw -O vmdk disk.raw images/web01.vmdk
mount_hyperfs images

claim "a file in the second partition reads as it was written"
mkdir root
mount -o loop,ro,noload,offset=$((16 << 20)) "$mount/web01.raw" root || skip "this kernel does not mount it"
mounts+=("$scratch/root")
[ "$(cat root/hello.txt)" = "hello from the guest" ] || die "hello.txt reads something else"
[ "$(find root/data -name '*.bin' | wc -l)" = 12 ] || die "files are missing"
umount root
