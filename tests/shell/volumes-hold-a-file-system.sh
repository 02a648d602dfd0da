#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A volume that is written as a guest writes a disk: file system, loop device, files, fsync, a crash, and the file system checked.
. "$(dirname "$0")/lib.sh"
need "$hypernbd" "$hyperctl" nbdfuse nbdinfo fuse fusermount3 losetup mkfs.ext4 e2fsck
need_root "mount"
losetup --find >/dev/null 2>&1 || skip "there are no loop devices"

attach_by_hypernbd() {
    serve_hypernbd --rw disk.volume
    file=$scratch/file$server
    : >"$file"
    nbdfuse "$file" "$(uri disk)" 2>nbdfuse.log &
    servers+=($!)
    mounts+=("$file")
    eventually mountpoint -q "$file" || die "nbdfuse: $(cat nbdfuse.log)"
    mounted=$file
}
attach_by_hyperfs() {
    mount_hyperfs --rw disk.volume
    server=${servers[-1]} mounted=$mount file=$mount/disk.raw
}
attach() {  # the volume as a file, and that as a loop device
    "attach_by_$door"
    device=$(losetup --find --show --direct-io=on "$file")
}
detach() {
    losetup --detach "$device"
    fusermount3 -u "$mounted" || umount -l "$mounted"
}
mkdir root
files() { (cd "$1" && find . -type f -name 'kept*' -exec sha256sum {} + | sort); }

for door in hypernbd hyperfs; do
    rm -rf disk.volume
    truncate -s 96M empty.raw
    "$hyperctl" sync --create empty.raw "$scratch/disk.volume" >/dev/null

    claim "$door: a file system is made and filled"
    attach
    mkfs.ext4 -q "$device"
    mount "$device" root
    mounts+=("$scratch/root")
    for number in {1..20}; do head -c $((number * 10007)) /dev/urandom >root/kept$number; done
    sync --file-system root
    files root >kept

    claim "$door: after kill -9 of the server in the middle of writing, what was synced is there and the file system is whole"
    (while head -c 300000 /dev/urandom >root/unfinished 2>/dev/null; do sync root/unfinished 2>/dev/null || break; done) &
    writer=$!
    sleep 1
    kill -9 "$server"
    gone "$server" || die "it lives"
    wait "$writer" || true
    umount -l root
    detach || true
    attach
    e2fsck -fy "$device" >e2fsck.log 2>&1 || [ $? = 1 ] || die "e2fsck: $(cat e2fsck.log)"
    mount "$device" root
    files root | cmp - kept || die "files differ"
    umount root
    detach
    [ $door = hyperfs ] || ends_well

    claim "$door: the generation that it becomes has the file system, and so have its views"
    eventually "$hyperctl" volume commit "$scratch/disk.volume" >/dev/null 2>&1 || die "commit: $("$hyperctl" volume commit "$scratch/disk.volume" 2>&1)"
    mount_hyperfs "$scratch/disk.volume"
    mount -o loop,ro,noload "$mount/disk.raw" root
    files root | cmp - kept || die "files differ"
    umount root
    "$hyperctl" volume verify --all "$scratch/disk.volume" >verify.log || die "verify: $(cat verify.log)"
    fusermount3 -u "$mount"
done
