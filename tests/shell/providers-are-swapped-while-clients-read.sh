#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need fio nbdinfo fuse fusermount3

# Two builds of one provider that differ in a byte, as a new version would.
make_disk full disk.raw
mkdir modules
module=$scratch/modules/hyper-provider-faulty.so
install_build() {  # NUMBER: over what is there, in place
    { cat "$BUILD/providers/hyper-provider-faulty.so"; echo "build $1"; } >new.so
    cat new.so >"$module"
}
install_build 1
export HYPER_PROVIDERS=$scratch/modules
serve_hypernbd --control "$scratch/control.sock" --provider faulty.latency-ms=1 "faulty://$scratch/disk.raw"
mount_hyperfs "faulty://$scratch/disk.raw"
mapped() { grep -c 'r-xp.*hyper-provider' "/proc/$server/maps"; }

claim "64 clients read on while new builds come in, and none sees an error"
fio --name=swap --ioengine=nbd --uri="$(uri disk)" --rw=randread --bs=4k --iodepth=4 --numjobs=64 --group_reporting \
    --time_based --runtime=8 --output-format=json --output=fio.json >fio.log 2>&1 & load=$!
cmp "$mount/disk.raw" disk.raw & comparing=$!
for build in 2 3 4 5; do
    install_build $build
    "$hyperctl" provider reload faulty --control "$scratch/control.sock" >/dev/null || die "build $build was refused"
done
claim "a broken build is refused, and the old one stays"
head -c 4096 "$BUILD/providers/hyper-provider-faulty.so" >"$module"
"$hyperctl" provider reload faulty --control "$scratch/control.sock" 2>err && die "a broken build was taken"
grep -q 'the build before it stays' err || die "$(cat err)"
"$hyperctl" provider load "$scratch/disk.raw" --control "$scratch/control.sock" 2>/dev/null && die "a disk was taken for a module"
same raw "$(uri disk)" disk.raw
install_build 6
"$hyperctl" provider reload faulty --control "$scratch/control.sock" >/dev/null || die "build 6 was refused"
wait "$comparing" || die "the mount's reader saw other bytes, or an error"
wait "$load" || die "a client saw an error: $(tail -5 fio.log)"
python3 - <<'P'
import json
jobs = json.load(open("fio.json"))["jobs"]
assert sum(job["read"]["total_ios"] for job in jobs) > 0 and all(job["error"] == 0 for job in jobs), jobs
P

claim "the old code goes when its last user has gone"
eventually test "$(mapped)" -le 2 || die "$(mapped) builds are mapped"
"$hyperctl" provider unload faulty --control "$scratch/control.sock" >/dev/null
same raw "$(uri disk)" disk.raw
ends_well
