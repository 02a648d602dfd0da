#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Lazy volumes: used at once, filled from a source that is far away, and independent of it in the end.
. "$(dirname "$0")/lib.sh"
. "$SRC/tests/shell/s3.sh"
need "$hypernbd" "$hyperctl" qemu-io qemu-img nbdkit
export HYPER_PROVIDERS=$BUILD/providers

log() { cat "$scratch"/*.log; }
on_nbd() { qemu-io -f raw "$(uri "$1")" "${@:2}" >qemu-io.log 2>&1 || die "qemu-io: $(log)"; }
root() { "$hyperctl" root "$@"; }
make_disk random disk.raw
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2

claim "a volume is made of an image at once, and takes no room"
"$hyperctl" volume create --from disk.qcow2 --lazy "$scratch/a.volume"
[ "$(du -sm a.volume | cut -f1)" -lt 2 ] || die "$(du -sm a.volume)"
"$hyperctl" volume commit "$scratch/a.volume" 2>err && die "half of a disk was committed"
grep -q 'hyperctl volume hydrate' err || die "$(cat err)"
"$hyperctl" sync disk.raw "$scratch/a.volume" 2>err >/dev/null && die "a sync went into it"

claim "hydrate fetches what is missing, and then the source may go"
"$hyperctl" volume hydrate "$scratch/a.volume" --json >said
grep -q '"fetched-bytes": [1-9]' said || die "$(cat said)"
mv disk.qcow2 gone.qcow2
"$hyperctl" volume commit "$scratch/a.volume" >/dev/null
[ "$(root "$scratch/a.volume@1")" = "$(root disk.raw)" ] || die "the generation has something else"
mv gone.qcow2 disk.qcow2

claim "what is missing comes from nowhere else than the disk that it was made of"
"$hyperctl" volume create --from disk.qcow2 --lazy "$scratch/b.volume"
"$hyperctl" info "$scratch/b.volume" 2>err && die "it has no generation"
grep -q "hypernbd --rw serves it meanwhile" err || die "$(cat err)"
cp disk.qcow2 kept.qcow2
qemu-io -f qcow2 -c 'write -P 1 0 64k' disk.qcow2 >/dev/null
"$hyperctl" volume hydrate "$scratch/b.volume" 2>err && die "it was filled from another disk"
grep -q 'is not what it was' err || die "$(cat err)"
mv kept.qcow2 disk.qcow2
"$hyperctl" volume create --from nbd+unix:///x --lazy "$scratch/c.volume" 2>err && die "no server is there"
[ ! -e c.volume ] || die "a volume was made of nothing"

claim "a disk in a bucket is served for writing at once, and filled in the background"
serve_s3
s3 -X PUT /images >/dev/null
put disk.qcow2 disk.qcow2
"$hyperctl" volume create --from s3://images/disk.qcow2 --lazy "$scratch/d.volume"
serve_hypernbd --rw d.volume
cp disk.raw written.raw
on_nbd d -c 'write -P 0xaa 1000 3000' -c 'write -P 0xbb 1M 300k' -c flush
qemu-io -f raw written.raw -c 'write -P 0xaa 1000 3000' -c 'write -P 0xbb 1M 300k' >/dev/null
same raw "$(uri d)" written.raw
[ "$(nbdinfo --list --json "$(uri '')" | grep -c '"export-name": "d"')" = 1 ] || die "it is not listed"
eventually grep -q '"hydrated":true' d.volume/draft/source || die "it is not filled: $(log)"
s3 -X DELETE /images/disk.qcow2 >/dev/null
same raw "$(uri d)" written.raw
ends_well
"$hyperctl" volume commit "$scratch/d.volume" >/dev/null
[ "$(root "$scratch/d.volume@1")" = "$(root written.raw)" ] || die "the generation has something else"

claim "killed while it is filled and written, it goes on, and what was flushed is there"
cp disk.raw far.raw
slow() { serve_hypernbd --rw --provider faulty.latency-ms=20 "$1.volume"; }
"$hyperctl" volume create --from "faulty://$scratch/far.raw" --lazy --trust "$scratch/e.volume" --provider faulty.latency-ms=20
cp disk.raw written.raw
for number in 1 2 3 4 5; do
    slow e
    on_nbd e -c "write -P $number ${number}00000 70000" -c flush
    qemu-io -f raw written.raw -c "write -P $number ${number}00000 70000" >/dev/null
    sleep 0.$number
    kill -9 "$server"
    gone "$server" || die "it lives"
done
slow e
same raw "$(uri e)" written.raw
eventually grep -q '"hydrated":true' e.volume/draft/source || die "it is not filled: $(log)"
ends_well
"$hyperctl" volume commit "$scratch/e.volume" >/dev/null
[ "$(root "$scratch/e.volume@1")" = "$(root written.raw)" ] || die "the generation has something else"

claim "what a boot reads is fetched first, where a trace of one is given"
printf '%s\n' 'hypernbd-trace 1' '9000 1 read 0 5242880 4096 0 20000 x' '1 1 read 0 9437184 4096 0 20000 x' >boot.trace
nbdkit --foreground -U "$scratch/n.sock" -P "$scratch/n.pid" --filter=log file far.raw logfile="$scratch/asked.log" 2>n.log &
servers+=($!)
eventually test -s n.pid || die "nbdkit did not start: $(cat n.log)"
"$hyperctl" volume create --from "nbd+unix:///?socket=$scratch/n.sock" --lazy --trust --prefetch boot.trace "$scratch/f.volume"
: >asked.log
"$hyperctl" volume hydrate "$scratch/f.volume" >/dev/null
first=$(sed -n '/ Read id=/{s/.* offset=\(0x[0-9a-f]*\) .*/\1/p;q}' asked.log)
[ $((first)) = 9437184 ] || die "the first read was at $first"
"$hyperctl" volume commit "$scratch/f.volume" >/dev/null
[ "$(root "$scratch/f.volume@1")" = "$(root far.raw)" ] || die "the generation has something else"
