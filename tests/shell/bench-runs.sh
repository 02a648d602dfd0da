#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# bench/bench measures every figure, here of a tiny disk in one round, and leaves nothing behind.
. "$(dirname "$0")/lib.sh"
need fio nbdkit qemu-img nbdcopy fuse
python3 "$SRC/bench/bench" --build "$BUILD" --size 16M --rounds 1 --seconds 1 --output results.md >bench.log 2>&1 || die "bench failed"
for figure in 1 2 3 4 5 6; do
    grep -q "^## Figure $figure" results.md || die "figure $figure is missing"
done
