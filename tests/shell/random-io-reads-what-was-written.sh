#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Random reads, writes, zeros, trims and flushes of any alignment agree with a model (tests/support/disk_fsx.py).
# SEED and OPERATIONS may be given.
. "$(dirname "$0")/lib.sh"
need "$hypernbd" "$hyperctl" /usr/bin/python3 nbdcopy nbdkit
/usr/bin/python3 -c 'import nbd' 2>/dev/null || skip "Python's libnbd module is missing"
nbdkit --dump-plugin python >/dev/null 2>&1 || skip "nbdkit's python plugin is missing"

fsx() { /usr/bin/python3 "$SRC/tests/support/disk_fsx.py" --seed "${SEED:-1}" --operations "${OPERATIONS:-5000}" "$@"; }

claim "through hypernbd, on a raw file; and the file holds it afterwards"
truncate -s 20M disk.raw
serve_hypernbd --rw disk.raw
fsx "$(uri disk)"
nbdcopy "$(uri disk)" - | cmp - disk.raw || die "the file and the export differ"
ends_well

claim "through hypernbd, on a volume; and the generation that is made of it holds it afterwards"
truncate -s 9000001 empty.raw
for block_size in 4K 64K; do
    rm -rf disk.volume
    "$hyperctl" volume create --block-size $block_size "$scratch/disk.volume" >/dev/null
    "$hyperctl" sync empty.raw "$scratch/disk.volume" >/dev/null
    serve_hypernbd --rw disk.volume
    fsx "$(uri disk)"
    nbdcopy "$(uri disk)" after.raw
    ends_well
    "$hyperctl" volume commit "$scratch/disk.volume" >/dev/null
    "$hyperctl" export "$scratch/disk.volume@2" generation.raw
    cmp after.raw generation.raw || die "the generation and the export differ"
    rm generation.raw
done

claim "through hyperfs, on a raw file and on a volume"
truncate -s 9000001 mounted.raw
mount_hyperfs --rw mounted.raw "$scratch/disk.volume"
fsx "$mount/mounted.raw"
fsx "$mount/disk.raw"
cp "$mount/disk.raw" after.raw
cmp "$mount/mounted.raw" mounted.raw || die "the file and what the mount shows of it differ"
fusermount3 -u "$mount"
wait "${servers[-1]}" || die "hyperfs ended with $?"
"$hyperctl" volume commit "$scratch/disk.volume" >/dev/null
"$hyperctl" export "$scratch/disk.volume@latest" generation.raw
cmp after.raw generation.raw || die "the generation and the mount differ"

claim "on a file in memory"
[ -w /dev/shm ] || skip "there is no /dev/shm"
# It has no name any more, so that it is gone with this test.
file=$(mktemp /dev/shm/hyper-test-XXXXXX)
exec {in_memory}<>"$file"
rm "$file"
truncate -s 8000001 "/proc/$$/fd/$in_memory"
fsx "/proc/$$/fd/$in_memory"

# With a disk that has FAULT, disk_fsx.py ends with STATUS and says TEXT.
finds() {  # FAULT TEXT STATUS
    local status=0
    socket=$scratch/$1.sock
    nbdkit --foreground --unix "$socket" --pidfile "$1.pid" python "$SRC/tests/support/faulty_disk.py" size=9000001 \
        fault="$1" 2>"$1.log" &
    servers+=($!)
    eventually test -s "$1.pid" || die "nbdkit did not start"
    fsx "$(uri '')" >said.log 2>&1 || status=$?
    [ $status = "$3" ] && grep -qE "$2" said.log || die "$1: ended with $status: $(cat said.log)"
}
claim "a disk that does nothing wrong passes, one that does is seen: one bit of a write, a lost write, one byte of a zeroing, a trim to garbage, a failed read"
finds none 'all as they should be' 0
finds write 'read of .*: byte at offset [0-9]+ is 0x.., not 0x' 1
finds lost 'read of .*: byte at offset [0-9]+ is 0x00, not 0x' 1
finds zero 'read of .*: byte at offset [0-9]+ is 0x.., not 0x00' 1
finds trim 'read of .*: byte at offset [0-9]+ is 0x3f, not 0x' 1
finds error 'Input/output error' 1
