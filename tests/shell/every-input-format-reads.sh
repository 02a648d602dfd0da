#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Images of every format and sub-format that qemu-img makes are served as what they hold, raw and as qcow2.
. "$(dirname "$0")/lib.sh"
need "$hypernbd" qemu-img

make_disk random disk.raw
truncate -s 97M disk.raw  # whole MiB, which all formats can say
mkdir images
make() { qemu-img convert -f raw disk.raw "$@" || die "qemu-img convert $*"; }
make -O raw images/raw.img
make -O qcow2 images/qcow2-v3.qcow2
make -O qcow2 -o compat=0.10 images/qcow2-v2.qcow2
make -O qcow2 -o cluster_size=512 images/qcow2-512.qcow2
make -O qcow2 -o cluster_size=2M images/qcow2-2M.qcow2
make -O qcow2 -o extended_l2=on,cluster_size=128k images/qcow2-extended-l2.qcow2
make -O qcow2 -o lazy_refcounts=on,refcount_bits=1 images/qcow2-refcount1.qcow2
make -O qcow2 -o preallocation=metadata images/qcow2-preallocated.qcow2
make -c -O qcow2 images/qcow2-zlib.qcow2
make -c -O qcow2 -o compression_type=zstd images/qcow2-zstd.qcow2
for subformat in monolithicSparse monolithicFlat twoGbMaxExtentSparse twoGbMaxExtentFlat streamOptimized; do
    make -O vmdk -o subformat=$subformat images/vmdk-$subformat.vmdk
done
make -O vmdk -o zeroed_grain=on images/vmdk-zeroed-grain.vmdk
make -O vpc -o subformat=dynamic,force_size=on images/vhd-dynamic.vhd
make -O vpc -o subformat=fixed,force_size=on images/vhd-fixed.vhd
make -O vhdx -o subformat=dynamic images/vhdx-dynamic.vhdx
make -O vhdx -o subformat=dynamic,block_size=1M images/vhdx-1M.vhdx
make -O vhdx -o subformat=fixed images/vhdx-fixed.vhdx
# Chains: the lower half in the parent, the upper in the child.
qemu-img create -q -f qcow2 images/chain-base.qcow2 97M
qemu-io -f qcow2 -c 'write -q -P 17 0 20M' images/chain-base.qcow2
(cd images && qemu-img create -q -f qcow2 -b chain-base.qcow2 -F qcow2 chain.qcow2)
qemu-io -f qcow2 -c 'write -q -P 34 10M 20M' -c 'write -q -z 1M 1M' images/chain.qcow2
qemu-img create -q -f vmdk images/parent.vmdk 97M
qemu-io -f vmdk -c 'write -q -P 51 0 20M' images/parent.vmdk
(cd images && qemu-img create -q -f vmdk -b parent.vmdk -F vmdk child.vmdk)
qemu-io -f vmdk -c 'write -q -P 68 10M 20M' images/child.vmdk
qemu-img convert -f qcow2 -O raw images/chain.qcow2 chain.raw
qemu-img convert -f vmdk -O raw images/child.vmdk child.raw

serve_hypernbd images
for image in images/*; do
    name=$(basename "${image%.*}") wanted=disk.raw
    case $name in
        vmdk-*-flat | vmdk-*-[fs]00*) continue ;;  # extents, which are no images
        chain | child) wanted=$name.raw ;;
        chain-base | parent) continue ;;
    esac
    claim "$(basename "$image")"
    same raw "$(uri "$name")" $wanted
    same qcow2 "$(uri "$name.qcow2")" $wanted
done
