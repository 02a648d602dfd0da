#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# nbdkit hyper rw=true: raw images are written in place, and nothing else is.
. "$(dirname "$0")/lib.sh"
need nbdkit nbdinfo nbdcopy qemu-io qemu-img fio

truncate -s 8M disk.raw
cp disk.raw expected.raw
qemu-img create -q -f qcow2 other.qcow2 1M
serve() { nbdkit -U - "$plugin" disk.raw other.qcow2 "$@"; }
script='-c "write -P 1 513 70001" -c "write -f -P 2 1M 4096" -c "write -z 514 4096" -c "write -z -u 1049000 1000" -c "discard 4096 8192" -c flush'

claim "writes, zeroes, trims and flushes of any alignment arrive"
serve rw=true --run "qemu-io -f raw $script \"nbd+unix:///disk?socket=\$unixsocket\"" >said || die "$(cat said)"
eval "qemu-io -f raw $script expected.raw" >/dev/null
cmp disk.raw expected.raw

claim "a flush that follows a write, and FUA, are offered"
serve rw=true --run 'nbdinfo "nbd+unix:///disk?socket=$unixsocket"' >said
for word in 'is_read_only: false' 'can_flush: true' 'can_fua: true' 'can_trim: true' 'can_zero: true' 'can_fast_zero: true'; do
    grep -q "$word" said || die "no '$word' in: $(cat said)"
done

claim "without rw nothing can be written"
serve --run 'nbdinfo --is readonly "nbd+unix:///disk?socket=$unixsocket"' || die "disk can be written"

claim "other formats cannot be written, nor are views of a raw disk offered"
serve rw=true --run 'nbdinfo --is readonly "nbd+unix:///other?socket=$unixsocket"' || die "other can be written"
! serve rw=true --run 'nbdinfo "nbd+unix:///disk.qcow2?socket=$unixsocket"' >said 2>&1 || die "a view was offered"
serve rw=true --run 'nbdinfo --list "$uri"' >said
! grep -q disk.qcow2 said || die "a view was listed"

claim "what fio wrote it reads back"
serve rw=true --run 'fio --name=verify --ioengine=nbd --uri="nbd+unix:///disk?socket=$unixsocket" --rw=randwrite --bs=512-64k \
    --blockalign=512 --size=8M --iodepth=16 --verify=crc32c --fsync=64' >said || die "$(cat said)"

claim "a second writer is refused"
flock -n disk.raw bash -c '! nbdkit -U - "$0" disk.raw rw=true --run "nbdinfo \$uri"' "$plugin" >said 2>&1 || die "two write it"
grep -q 'another process has it open for writing' said || die "$(cat said)"
