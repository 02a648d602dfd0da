#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guestfish finds the file system in every view and reads a file out of it. One appliance boots with all views attached.
. "$(dirname "$0")/lib.sh"
need guestfish "$hypernbd" sfdisk mkfs.ext4
export LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=force_tcg LIBGUESTFS_CACHEDIR=${LIBGUESTFS_CACHEDIR:-/var/tmp}
export TMPDIR=$scratch

mkdir disks
make_disk partitioned disks/web01.raw
serve_hypernbd disks

commands=() drives=() letter=({a..z})
for view in '' "${views[@]}"; do
    [ "$view" = .monolithicFlat.vmdk ] && continue  # its extent is a file beside it
    drives+=("add-drive web01$view readonly:true format:$(driver_of "$view") protocol:nbd server:unix:$socket")
    device=/dev/sd${letter[${#commands[@]} / 4]}
    commands+=("echo web01$view" "mount-ro ${device}2 /" "cat /hello.txt" "umount /")
done
printf '%s\n' "${drives[@]}" run list-filesystems "${commands[@]}" >script
guestfish <script >said 2>guestfish.log || { cat said; die "guestfish failed"; }
cat said
claim "every view has the file"
[ "$(grep -c '^hello from the guest$' said)" = ${#drives[@]} ] || die "a file reads something else"
[ "$(grep -c ': ext4$' said)" = ${#drives[@]} ] || die "a file system is missing"
