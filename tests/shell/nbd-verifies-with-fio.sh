#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need nbdkit fio
fio --enghelp | grep -q nbd || skip "fio has no nbd engine"

claim "parallel random reads give what fio wrote"
job=(--name=verify --size=32M --bs=4k --rw=randwrite --verify=crc32c --randseed=1 --randrepeat=1 --minimal)
fio "${job[@]}" --ioengine=psync --filename=disk.raw --do_verify=0 >/dev/null
serve_nbd disk.raw
fio "${job[@]}" --ioengine=nbd --uri="$(uri disk)" --iodepth=32 --verify_only >fio.log 2>&1 || die "fio found differences"
