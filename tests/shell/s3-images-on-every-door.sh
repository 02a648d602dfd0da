#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Images in a bucket, served straight from there.
. "$(dirname "$0")/lib.sh"
. "$SRC/tests/shell/s3.sh"
need "$hypernbd" "$hyperctl" qemu-img nbdinfo
export HYPER_PROVIDERS=$BUILD/providers
serve_s3
s3 -X PUT /images >/dev/null
make_disk random disk.raw
truncate -s 33M disk.raw  # whole MiB, which all formats can say
root_of() { "$hyperctl" root "$1" | grep -oE '[0-9a-f]{64}'; }
root=$(root_of disk.raw)

make() { qemu-img convert -f raw disk.raw "$@" || die "qemu-img convert $*"; }
make -c -O qcow2 web01.qcow2
make -O vmdk -o subformat=streamOptimized web02.vmdk
make -O vpc -o subformat=dynamic,force_size=on web03.vhd
make -O vhdx web04.vhdx
cp disk.raw web05.raw
for image in web0?.*; do
    put "$image" "$image"
    claim "$image has the root of the disk"
    [ "$(root_of "s3://images/$image")" = "$root" ] || die "s3://images/$image has another root"
done

claim "info says what it is, and no secret"
"$hyperctl" info s3://images/web01.qcow2 >info || die "no info"
grep -q qcow2 info || die "$(cat info)"
grep -q "$AWS_SECRET_ACCESS_KEY" info && die "the secret is shown"

claim "hypernbd serves them as raw disks and in other formats"
serve_hypernbd s3://images/web01.qcow2 s3://images/web05.raw
same raw "$(uri web01)" disk.raw
same raw "$(uri web05)" disk.raw
same vhdx "$(uri web01.vhdx)" disk.raw
ends_well
grep -q "$AWS_SECRET_ACCESS_KEY" "$scratch"/nbd*.log && die "the secret is in the log"

claim "an object that is not there is an error that says so"
if "$hyperctl" info s3://images/none.raw 2>said; then die "there is no such object"; fi
grep -q 's3://images/none.raw' said && grep -q NoSuchKey said || die "$(cat said)"
