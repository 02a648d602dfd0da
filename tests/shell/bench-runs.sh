#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# bench/bench measures every figure, here of a tiny disk in one round, and leaves nothing behind. Each of our doors can be measured.
. "$(dirname "$0")/lib.sh"
need fio nbdkit qemu-img nbdcopy psktool fuse
mkdir disks cached
# QEMU runs as another user.
chmod 711 . disks
python3 "$SRC/bench/bench" --build "$BUILD" --size 16M --guest-size 32M --rounds 1 --seconds 0.1 --dir disks --cached-dir cached \
    --output results.md >bench.log 2>&1 || die "bench failed"
for figure in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17; do
    grep -q "^## Figure $figure" results.md || die "figure $figure is missing"
done
grep -E "^\| (hyper|generation|nbdkit hyper|nbdcopy from|bare loop|with |\(a server|\(hyperfs).*could not run" results.md && die "ours could not run"
[ -z "$(ls disks cached | grep -v :)" ] || die "files were left behind: $(ls disks cached)"
