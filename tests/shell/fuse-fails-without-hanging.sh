#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need fuse fusermount3

make_disk random shrinks.raw
make_disk full sound.raw
mkdir images
mv ./*.raw images
echo "this is no qcow2" >images/damaged.qcow2
mount_hyperfs images

claim "a damaged image is an input/output error, with the reason in the log"
! LC_ALL=C timeout 10 cat "$mount/damaged.raw" 2>said || die "it was read"
grep -q "Input/output error" said || die "$(cat said)"
grep -q damaged.qcow2 "$mount.log" || die "no reason in the log: $(cat "$mount.log")"

claim "an image that shrinks while it is read is an error, not a short file"
exec 3<"$mount/shrinks.raw"
truncate -s 1M images/shrinks.raw
! LC_ALL=C timeout 10 cat <&3 2>said >read || die "the missing part was read"
grep -q "Input/output error" said || die "$(cat said)"
grep -q "shrinks.raw: read" "$mount.log" || die "no reason in the log: $(cat "$mount.log")"
exec 3<&-

claim "the others go on"
cmp images/sound.raw "$mount/sound.raw"
