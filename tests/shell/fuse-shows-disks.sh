#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need fuse fusermount3

mkdir -p images/web01
make_disk random images/web01/root.raw
make_disk odd-bytes images/web01.raw
mount_hyperfs images

claim "every disk is a file, folders are folders, and both may have one name"
[ -d "$mount/web01" ] || die "no folder web01"
for file in web01.raw web01/root.raw web01/root.monolithicFlat-flat.vmdk; do
    [ -f "$mount/$file" ] || die "$file is missing"
    ls "$mount/$(dirname "$file")" | grep -qx "$(basename "$file")" || die "$file is not listed"
done

claim "raw files have the size and bytes of the disk"
cmp images/web01/root.raw "$mount/web01/root.raw"
cmp images/web01.raw "$mount/web01.raw"

claim "inode numbers are the same after another mount"
first=$(stat -c %i "$mount/web01/root.raw")
mount_hyperfs images
[ "$(stat -c %i "$mount/web01/root.raw")" = "$first" ] || die "another inode number"

claim "nothing can be written, by root neither"
for attempt in "touch $mount/new" "mkdir $mount/folder" "rm $mount/web01.raw" "truncate -s 0 $mount/web01.raw" \
    "mv $mount/web01.raw $mount/web02.raw" "chmod 777 $mount/web01.raw" "dd if=/dev/zero of=$mount/web01.raw count=1"; do
    ! LC_ALL=C $attempt 2>said || die "$attempt: accepted"
    grep -q "Read-only file system" said || die "$attempt: $(cat said)"
done

claim "a name that is not there is not found"
! LC_ALL=C stat "$mount/nothing.raw" 2>said || die "found"
grep -q "No such file" said

claim "a disk that is added shows"
make_disk one-sector images/late.raw
eventually test -f "$mount/late.raw" || die "late.raw does not show"
cmp images/late.raw "$mount/late.raw"
