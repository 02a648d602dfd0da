#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a client of hypernbd wrote and flushed into a raw file survives a power cut and kill -9 of server and client.
. "$(dirname "$0")/lib.sh"
need "$hypernbd" /usr/bin/python3 nbdfuse nbdkit fuse fusermount3 losetup mkfs.ext4 mkfs.xfs
need_root "mount"
losetup --find >/dev/null 2>&1 || skip "there are no loop devices"
nbdkit --dump-plugin python >/dev/null 2>&1 || skip "nbdkit's python plugin is missing"
/usr/bin/python3 -c 'import nbd' 2>/dev/null || skip "Python's libnbd module is missing"
promises="/usr/bin/python3 $SRC/tests/support/nbd_promises.py"
export TMPDIR=$scratch hypernbd promises
unset SEED RUN

# work FOLDER KIND COUNT: serves FOLDER/disk.raw and has a client write to it.
cat >work <<'EOS'
set -e
socket=$(mktemp -u "$TMPDIR/work-XXXXXX")
if [ ! -e "$1/disk.raw" ]; then
    truncate -s 1M "$1/disk.raw"
    sync "$1/disk.raw" "$1"
fi
$hypernbd --socket "$socket" --rw "$1/disk.raw" 2>/dev/null &
until [ -S "$socket" ]; do sleep 0.01; done
$promises "$2" "nbd+unix:///disk?socket=$socket" "$3"
kill $!
EOS

for kind in ext4 xfs; do
    size_mib=64
    [ $kind = ext4 ] || size_mib=300
    claim "$kind: what was flushed is there after each power cut"
    "$SRC/tests/powercut/record" $kind $size_mib $kind 'bash work "$MOUNT" work 60'
    "$SRC/tests/powercut/replay" $kind "${CUTS:-24}" 1 '$promises check "$MOUNT/disk.raw"'
done
claim "what was not flushed is seen to be lost"
"$SRC/tests/powercut/record" ext4 64 careless 'bash work "$MOUNT" work-careless 60'
"$SRC/tests/powercut/replay" careless 200 1 '$promises check "$MOUNT/disk.raw"' 2>said.log && die "it is not"
grep -q '^lost: ' said.log || die "the check says: $(cat said.log)"

claim "what was flushed is there after each kill"
mkdir killed
"$SRC/tests/crash/crash" "${KILLS:-20}" 1 'bash work killed work 300' '$promises check killed/disk.raw'
