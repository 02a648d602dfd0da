#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need fuse fusermount3 losetup mkfs.ext4 sfdisk
need_root "set up loop devices"

claim "a file system within a disk can be mounted from its raw file"
make_disk partitioned disk.raw
mount_hyperfs disk.raw
loop=$(losetup --find --show --read-only --offset $((16 << 20)) "$mount/disk.raw" 2>/dev/null) || skip "no loop device here"
mkdir guest
mounts=("$scratch/guest" "${mounts[@]}")
# Detached by the kernel as soon as it is unmounted.
mount -t ext4 -o ro,noload "$loop" guest || { losetup -d "$loop"; die "the file system does not mount"; }
losetup -d "$loop"
[ "$(cat guest/hello.txt)" = "hello from the guest" ] || die "another content"
umount guest
