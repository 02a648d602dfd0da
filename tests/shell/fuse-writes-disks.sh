#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A mount with --rw: what can be written and what not, what stays of it, and when it becomes a generation.
. "$(dirname "$0")/lib.sh"
need "$hyperfs" "$hyperctl" fuse fusermount3 qemu-img python3

make_disk random disk.raw
qemu-img convert -O qcow2 disk.raw image.qcow2
size=$(stat -c %s disk.raw)
unmount() {
    fusermount3 -u "$mount"
    wait "${servers[-1]}" || die "hyperfs ended with $?"
}
# refused ERRNO CODE: that Python, with the mount as sys.argv[1], raises the error.
refused() {
    local said
    said=$(python3 -c "import errno, os, sys
mount = sys.argv[1]
try:
    $2
except OSError as error:
    print(errno.errorcode[error.errno])
else:
    print('nothing')" "$mount")
    [ "$said" = "$1" ] || die "$2: $said"
}

generation_begins() {
    "$hyperctl" export "$scratch/disk.volume@$1" generation$1.raw >/dev/null
    [ "$(head -c ${#2} generation$1.raw)" = "$2" ]
}

claim "without --rw nothing can be written"
mount_hyperfs disk.raw
refused EROFS 'os.open(mount + "/disk.raw", os.O_RDWR)'
unmount

claim "with it, what is written to a raw file is in that file, and is read by who had it in the cache"
mount_hyperfs --rw disk.raw image.qcow2
cp disk.raw wanted.raw
cat "$mount/disk.raw" >/dev/null
python3 - "$mount/disk.raw" wanted.raw <<'P'
import os, sys
reader = os.open(sys.argv[1], os.O_RDONLY)
writer = os.open(sys.argv[1], os.O_RDWR)
wanted = os.open(sys.argv[2], os.O_RDWR)
for step in range(200):
    # A small read brings in what lies around it; then a part of that is written, and read again.
    begin = step * 8192
    os.pread(reader, 512, begin + 2048)
    data = bytes([step]) * 3000
    for file in (writer, wanted):
        os.pwrite(file, data, begin + 1000)
    got = os.pread(reader, 8192, begin)
    assert got == os.pread(wanted, 8192, begin), f"step {step}"
os.fsync(writer)
P
cmp "$mount/disk.raw" wanted.raw
cmp disk.raw wanted.raw

claim "what was zeroed and punched reads as zeros, in the file itself, too"
for mode in --punch-hole --zero-range; do
    fallocate $mode --keep-size --offset 65536 --length 100000 "$mount/disk.raw" || die "fallocate $mode"
    fallocate --punch-hole --keep-size --offset 65536 --length 100000 wanted.raw
    cmp "$mount/disk.raw" wanted.raw
    cmp disk.raw wanted.raw
    head -c 100000 /dev/urandom | tee >(dd of="$mount/disk.raw" bs=1000 seek=65536 oflag=seek_bytes conv=notrunc status=none) |
        dd of=wanted.raw bs=1000 seek=65536 oflag=seek_bytes conv=notrunc status=none
    eventually cmp -s "$mount/disk.raw" wanted.raw || die "what was written differs"
done

claim "a disk keeps its size, and what is no raw file stays as it is"
refused ENOSPC "os.pwrite(os.open(mount + '/disk.raw', os.O_RDWR), b'x', $size)"
refused EPERM 'os.truncate(mount + "/disk.raw", 4096)'
refused EPERM 'os.open(mount + "/disk.raw", os.O_WRONLY | os.O_TRUNC)'
truncate -s "$size" holes.raw
cp holes.raw "$mount/disk.raw" 2>said.log && die "it was copied over, but for the holes"
cmp "$mount/disk.raw" wanted.raw || die "a copy that was refused has changed it"
python3 - "$mount/disk.raw" "$size" <<'P' || die "a write over the end"
import os, sys
file, size = os.open(sys.argv[1], os.O_RDWR), int(sys.argv[2])
assert os.pwrite(file, b"x" * 100, size - 40) == 40
assert os.pread(file, 100, size - 40) == b"x" * 40
P
refused EPERM 'os.chmod(mount + "/disk.raw", 0o600)'
refused EACCES 'os.open(mount + "/image.qcow2", os.O_RDWR)'
fallocate --length 4096 "$mount/disk.raw" 2>said.log && die "it takes a plain fallocate"
grep -q "not supported" said.log || die "$(cat said.log)"
[ "$(stat -c %a "$mount/disk.raw") $(stat -c %a "$mount/image.qcow2")" = "644 444" ] || die "$(ls -l "$mount")"

claim "of a disk that is written there are no views"
[ "$(cd "$mount" && echo disk*)" = disk.raw ] || die "$(ls "$mount")"
refused ENOENT 'os.open(mount + "/disk.azure.vhd", os.O_RDONLY)'
unmount

claim "what was written to a volume is there at the next mount, also after SIGTERM while it is open"
"$hyperctl" sync --create disk.raw "$scratch/disk.volume" >/dev/null
mount_hyperfs --rw disk.volume
exec {open}<>"$mount/disk.raw"
printf written >&$open
pid=${servers[-1]}
kill "$pid"
gone "$pid" || die "it does not end"
exec {open}>&-
wait "$pid" || die "hyperfs ended with $?"
mount_hyperfs --rw disk.volume
[ "$(head -c 7 "$mount/disk.raw")" = written ] || die "$(head -c 7 "$mount/disk.raw" | od -c)"
unmount
"$hyperctl" volume commit "$scratch/disk.volume" >/dev/null
generation_begins 2 written || die "the generation has something else"

claim "a look opens no draft: a volume that somebody else syncs can be listed and read"
mount_hyperfs --rw disk.volume
ls -l "$mount" >/dev/null
"$hyperctl" sync disk.raw "$scratch/disk.volume" >/dev/null || die "the volume is taken"

claim "what has grown meanwhile is read whole"
cat "$mount/disk.raw" >/dev/null
head -c 1000000 /dev/urandom >>disk.raw
"$hyperctl" sync disk.raw "$scratch/disk.volume" >/dev/null
cmp disk.raw "$mount/disk.raw" || die "it is not"
unmount

claim "a disk that was blank when it was opened, and is written since, is not blank for tar"
truncate -s 1M blank.raw
mount_hyperfs --rw blank.raw
exec {open}<>"$mount/blank.raw"
printf something >&$open
tar -S -cf blank.tar -C "$mount" blank.raw
exec {open}>&-
unmount
mkdir unpacked
tar -xf blank.tar -C unpacked
cmp unpacked/blank.raw blank.raw

claim "--commit on-close: when the last writer has closed it, there is a new generation"
mount_hyperfs --rw --commit on-close disk.volume
python3 -c 'import os, sys
first, second = (os.open(sys.argv[1], os.O_RDWR) for _ in range(2))
os.pwrite(first, b"of the latest", 0)
os.close(first)
assert os.pread(second, 13, 0) == b"of the latest"' "$mount/disk.raw"
generations() { "$hyperctl" volume log --json "$scratch/disk.volume" | python3 -c 'import json, sys; print(len(json.load(sys.stdin)))'; }
five() { [ "$(generations)" = 5 ]; }
eventually five || die "$("$hyperctl" volume log "$scratch/disk.volume")"
generation_begins 5 "of the latest" || die "generation 5 has something else"
[ "$(head -c 13 "$mount/disk.raw")" = "of the latest" ] || die "the mount shows something else"
unmount
