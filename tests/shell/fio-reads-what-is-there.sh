#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# fio's nbd engine reads with 64 requests in flight and finds what it wrote into the image before.
. "$(dirname "$0")/lib.sh"
need fio "$hypernbd" qemu-img
fio --enghelp=nbd >/dev/null 2>&1 || skip "fio has no nbd engine"

job=(--name=pattern --size=64M --bs=64k --verify=crc32c --randrepeat=1 --norandommap=0)
fio "${job[@]}" --filename=disk.raw --rw=write --do_verify=0 --verify_state_save=0 >fio.log
qemu-img convert -f raw -O qcow2 disk.raw web01.qcow2
serve_hypernbd web01.qcow2

claim "64 requests in flight, verified"
fio "${job[@]}" --ioengine=nbd --uri="$(uri web01)" --rw=read --iodepth=64 --verify_only >fio-nbd.log 2>&1 ||
    { cat fio-nbd.log; die "fio found other data"; }
