#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need nbdkit qemu-nbd qemu-img nbdinfo fuse fusermount3

make_disk random disk.raw
qemu-img convert -f raw -O qcow2 -c disk.raw disk.qcow2
expected=$("$hyperctl" root disk.raw)
start_server() { nbdkit --foreground -U "$scratch/far.sock" -P "$scratch/far.pid" file disk.raw 2>far.log & far=$!; servers+=("$far"); eventually test -s far.pid || die "nbdkit did not start"; }
start_server
far_uri="nbd+unix:///web01?socket=$scratch/far.sock"

claim "an export of another server is read by every command and door"
[ "$("$hyperctl" root "$far_uri")" = "$expected" ] || die "root differs"
[ "$("$hyperctl" root --as qcow2 "$far_uri")" != "" ] || die "no view of it"
"$hyperctl" compare disk.raw "$far_uri" >/dev/null || die "compare differs"
"$hyperctl" provider check "$far_uri" | grep -q '^good *connection' || die "the check fails"
serve_hypernbd "$far_uri"
same raw "$(uri web01)" disk.raw
qemu-img compare -f raw -F qcow2 disk.raw "$(uri web01.qcow2)" || die "its qcow2 view differs"
serve_nbd "$far_uri"
same raw "$(uri web01)" disk.raw
mount_hyperfs "$far_uri"
cmp "$mount/web01.raw" disk.raw || die "the mount differs"
qemu-img compare -f raw -F vhdx disk.raw "$mount/web01.vhdx" || die "the mount's VHDX differs"

claim "a server that promises several connections and lets one in is read by that one, and is asked for others once each"
nbdkit --foreground -U "$scratch/one.sock" -P "$scratch/one.pid" --filter=limit file disk.raw limit=1 2>one.log &
servers+=("$!")
eventually test -s one.pid || die "nbdkit did not start"
[ "$("$hyperctl" root "nbd+unix:///?socket=$scratch/one.sock")" = "$expected" ] || die "it cannot be read"
turned_away=$(grep -c "too many clients" one.log)
[ "$turned_away" -ge 1 ] && [ "$turned_away" -le 3 ] || die "it was asked for more connections $turned_away times"

claim "an image that lies in a far file is read as the disk in it"
[ "$("$hyperctl" root -f qcow2 "faulty://$scratch/disk.qcow2")" = "$expected" ] || die "root of a far qcow2 differs"

claim "a far disk is synced, and one whose provider knows that nothing changed is not read again"
"$hyperctl" sync --create --json "faulty://$scratch/disk.raw" v.volume >first.json
"$hyperctl" sync --json "faulty://$scratch/disk.raw" v.volume >second.json
python3 - "$expected" <<'P'
import json, sys
first, second = (json.load(open(name + ".json")) for name in ("first", "second"))
assert first["root"] == second["root"] == sys.argv[1], "root differs"
assert first["compared-all"] and not second["compared-all"], second
assert second["reported-bytes"] == 0, second
P
claim "where it has lost track, everything is compared, and the chain goes on"
"$hyperctl" sync --json --provider faulty.lose-tracking=1 "faulty://$scratch/disk.raw" v.volume >third.json
grep -q '"compared-all": true' third.json || die "it was believed"
grep -q "$expected" third.json || die "root differs"
"$hyperctl" volume verify v.volume >/dev/null || die "the volume is not good"

claim "a sync gets through a provider that fails, forgets sessions and is slow"
"$hyperctl" sync --create --json --provider faulty.errors-percent=10 --provider faulty.session-reads=50 --provider faulty.latency-ms=1 \
    "faulty://$scratch/disk.raw" w.volume >faulty.json 2>faulty.err || die "$(cat faulty.err)"
grep -q "$expected" faulty.json || die "root differs"

claim "what is changed by a bitmap's name is read from a qemu server, and nothing else"
qemu-img convert -f raw -O qcow2 disk.raw tracked.qcow2
qemu-img bitmap --add tracked.qcow2 first
serve_tracked() {  # BITMAP
    qemu-nbd -t -e 4 -r -f qcow2 -B "$1" -k "$scratch/tracked.sock" tracked.qcow2 &
    tracked=$!
    servers+=("$tracked")
    eventually nbdinfo --size "nbd+unix://?socket=$scratch/tracked.sock" >/dev/null 2>&1 || die "qemu-nbd did not start"
}
stop_tracked() { kill "$tracked" && gone "$tracked"; rm -f tracked.sock; }
tracked_uri="nbd+unix://?socket=$scratch/tracked.sock"
serve_tracked first
"$hyperctl" sync --create --provider nbd.change-id=first "$tracked_uri" t.volume >/dev/null
stop_tracked
qemu-io -f qcow2 -c 'write -P 77 1M 64k' tracked.qcow2 >/dev/null
serve_tracked first
"$hyperctl" sync --json --provider nbd.change-id=second "$tracked_uri" t.volume >changed.json
python3 - <<'P'
import json
report = json.load(open("changed.json"))
assert not report["compared-all"], report
assert report["reported-bytes"] == 65536 and report["different-bytes"] == 65536, report
P
stop_tracked
qemu-img convert -f qcow2 -O raw tracked.qcow2 tracked.raw
[ "$("$hyperctl" root t.volume)" = "$("$hyperctl" root tracked.raw)" ] || die "the volume differs"

claim "a server that is killed and comes back is a pause to who reads, and no error"
serve_hypernbd "$far_uri"
kill -9 "$far"
gone "$far"
rm -f far.pid far.sock
(sleep 2; touch again) &
nbdcopy "$(uri web01)" copied.raw & copying=$!
eventually test -e again || die "no time passes"
start_server
wait "$copying" || die "the copy failed"
cmp copied.raw disk.raw || die "the copy differs"

claim "one that does not come back is an error in the end, and hangs nobody"
kill -9 "$far"
gone "$far"
HYPER_REMOTE_TIMEOUT=1 "$hyperctl" root "$far_uri" 2>err && die "it was read"
grep -q 'far\|connect' err || die "$(cat err)"
HYPER_REMOTE_TIMEOUT=1 "$hyperctl" root --provider faulty.hang-percent=100 "faulty://$scratch/disk.raw" 2>err && die "it was read"
grep -q 'hangs' err || die "$(cat err)"
