#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ./run does its main job: a disk of its own, served in all formats, read back; and it serves images until told to stop.
. "$(dirname "$0")/lib.sh"
need fuse qemu-img nbdinfo
export HYPER_BUILD=$BUILD  # which is built already

claim "./run ends with everything equal"
"$SRC/run" >run.log 2>&1 || die "run failed"
grep -q 'all views equal' run.log || die "no summary"

claim "./run IMAGE serves it, and ends cleanly when told to"
make_disk full full.raw
"$SRC/run" full.raw >serve.log 2>&1 &
servers+=($!)
eventually grep -q 'Ctrl-C' serve.log || die "it does not serve"
address=$(grep -o 'nbd+unix://[^ ]*full\.qcow2[^ ]*' serve.log | head -n1)
file=$(sed -n 's|^ *\(/.*/full\.vhdx\)$|\1|p' serve.log)
same qcow2 "$address" full.raw
same vhdx "$file" full.raw
kill -TERM "${servers[-1]}"
wait "${servers[-1]}" || die "it ended with status $?"
[ ! -e "$file" ] || die "the mount is still there"
