#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need fuse fusermount3 python3

make_disk alternating alternating.raw
make_disk huge huge.raw
make_disk empty empty.raw
make_disk full full.raw
mount_hyperfs ./*.raw

claim "SEEK_DATA and SEEK_HOLE tell the holes of the disk"
python3 - "$mount" <<'PYTHON'
import os, sys
def runs(path):
    fd = os.open(path, os.O_RDONLY)
    at, found = 0, []
    while True:
        try: start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            assert error.errno == 6, error  # ENXIO: nothing but a hole is left
            return found
        at = os.lseek(fd, start, os.SEEK_HOLE)
        found.append((start, at - start))
mount = sys.argv[1] + "/"
assert runs(mount + "alternating.raw") == [(block * 65536, 65536) for block in range(0, 512, 2)]
assert runs(mount + "empty.raw") == []
assert runs(mount + "full.raw") == [(0, 10 << 20)]
assert runs(mount + "huge.raw") == runs("huge.raw")
PYTHON

claim "files take as many blocks as they have data"
[ "$(stat -c %b "$mount/alternating.raw")" = 32768 ] || die "alternating.raw: $(stat -c %b "$mount/alternating.raw") blocks"
[ "$(stat -c %b "$mount/empty.raw")" = 0 ] || die "empty.raw takes blocks"
[ "$(stat -c %b "$mount/full.raw")" = 20480 ] || die "full.raw takes $(stat -c %b "$mount/full.raw") blocks"

claim "cp skips the holes of a 5 TiB disk"
timeout 60 cp "$mount/huge.raw" copy.raw
[ "$(stat -c %s copy.raw)" = $((5 << 40)) ] || die "another size"
[ "$(stat -c %b copy.raw)" -lt 2048 ] || die "the copy is not sparse"
same_huge raw copy.raw huge.raw
