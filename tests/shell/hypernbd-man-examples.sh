#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need "$hypernbd" nbdinfo nbdcopy qemu-img openssl podchecker

claim "the examples of the man page run as written"
mkdir images
make_disk random web01.raw
qemu-img convert -f raw -O vmdk web01.raw images/web01.vmdk
truncate -s 128M images/scratch.raw
sed -n '/^=head1 EXAMPLES/,/^=head1 OPTIONS/s/^ //p' "$SRC/nbdserver/hypernbd.pod" >examples
[ "$(grep -c '^hypernbd ' examples)" = 2 ] || die "the examples have changed: $(cat examples)"
PATH=$(dirname "$hypernbd"):$PATH timeout 40 bash -euo pipefail examples >examples.log 2>&1 || die "an example failed"
same qcow2 web01.qcow2 web01.raw
cmp -n "$(stat -c %s web01.qcow2)" web01.qcow2 images/scratch.raw || die "the scratch disk has something else"

claim "the man page is sound, and names every option"
podchecker "$SRC/nbdserver/hypernbd.pod" 2>pod.log || die "$(cat pod.log)"
for option in $("$hypernbd" --help | grep -o -- '--[a-z-]*'); do
    grep -q -- "B<$option>" "$SRC/nbdserver/hypernbd.pod" || die "$option is not in the man page"
done
