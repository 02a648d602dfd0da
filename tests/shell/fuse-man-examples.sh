#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need fuse fusermount3 qemu-img mkfs.ext4 e2fsck

claim "the examples of the man page run as written"
mkdir images bin
make_disk random web01.raw
qemu-img convert -f raw -O vmdk web01.raw images/web01.vmdk
truncate -s 8M images/scratch.raw
ln -s "$hyperfs" bin/hyperfs
mounts+=("$scratch/disks")
sed -n '/^=head1 EXAMPLES/,/^=head1 OPTIONS/s/^ //p' "$SRC/fusefs/hyperfs.pod" >examples
[ "$(grep -c ^hyperfs examples)" = 3 ] || die "the examples have changed: $(cat examples)"
PATH=$scratch/bin:$PATH bash -euo pipefail examples >examples.log 2>&1 || die "an example failed"
same vhdx web01.vhdx web01.raw
e2fsck -fn images/scratch.raw >e2fsck.log 2>&1 || die "$(cat e2fsck.log)"
