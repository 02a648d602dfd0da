#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need nbdkit nbdinfo nbdcopy qemu-img

claim "the examples of the man page run as written"
mkdir images
make_disk random web01.raw
qemu-img convert -f raw -O vmdk web01.raw images/web01.vmdk
# In the man page the plugin is installed; here it is where it was built.
sed -n '/^=head1 EXAMPLES/,/^=head1 PARAMETERS/s/^ //p' "$SRC/nbdkit-plugins/nbdkit-hyper-plugin.pod" |
    sed "s| hyper images| $plugin images|" >examples
[ "$(grep -c "$plugin" examples)" = 4 ] || die "the examples have changed: $(cat examples)"
bash -euo pipefail examples >examples.log 2>&1 || die "an example failed"
same qcow2 web01.qcow2 web01.raw
