#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What was committed to a volume is there, whole, after a power cut and after kill -9 at any instant of a sync, a pruning or a commit.
. "$(dirname "$0")/lib.sh"
leave_out_syncs=$BUILD/tests/leave_out_syncs.so
need "$hyperctl" "$leave_out_syncs" /usr/bin/python3 qemu-io nbdfuse nbdkit fuse fusermount3 losetup mkfs.ext4 mkfs.xfs
need_root "mount"
losetup --find >/dev/null 2>&1 || skip "there are no loop devices"
nbdkit --dump-plugin python >/dev/null 2>&1 || skip "nbdkit's python plugin is missing"
export TMPDIR=$scratch hyperctl
unset SEED RUN

# States of a disk, made before anything is recorded.
python3 - <<'PYTHON'
import os, random
draw = random.Random(20261123)
disk = bytearray(3 << 20)
for state in range(12):
    for _ in range(6):
        at, length = draw.randrange(len(disk) - 300000), draw.randrange(1, 300000)
        disk[at:at + length] = bytes(length) if draw.random() < 0.3 else draw.randbytes(length)
    open(f"state{state}.raw", "wb").write(disk)
    # What belongs to it.
    os.mkdir(f"beside{state}")
    for name in ("domain.xml", "nvram"):
        open(f"beside{state}/{name}", "wb").write(draw.randbytes(draw.randrange(1, 60000)) if draw.random() < 0.7 else b"the same")
PYTHON

# work FOLDER COUNT: syncs state after state; each line says which generation has which root. It prunes what is older than four, and says so
# before, since from then on it may be gone.
cat >work <<'EOS'
set -e
volume=$1/disk.volume
[ -e "$volume" ] || $hyperctl volume create "$volume" >/dev/null
for ((i = 0; i < $2; ++i)); do
    state=$((RANDOM % 12))
    source=(state$state.raw)
    ((state % 3)) && source=(--provider "faulty.companions=$PWD/beside$state" "faulty://$PWD/state$state.raw")
    $hyperctl sync --json "${source[@]}" "$volume" >report.$$
    python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); print("has", r["generation"], r["root"], flush=True)' report.$$
    oldest=$($hyperctl volume log --json "$volume" |
        python3 -c 'import json, sys; all = json.load(sys.stdin); print(all[0]["generation"] if len(all) > 4 else "")')
    if [ "$oldest" ]; then
        echo "prunes $oldest"
        $hyperctl volume prune "$volume@$oldest" >/dev/null
    fi
done
EOS
# check FOLDER: what was promised is there, and all that is there is as it was committed.
cat >check <<'EOS'
import json, os, subprocess, sys
volume = sys.argv[1] + "/disk.volume"
has, prunes = {}, set()
for line in open(os.environ["PROMISES"]):
    words = line.split()
    if words[0] == "has": has[int(words[1])] = words[2]
    if words[0] == "prunes": prunes.add(int(words[1]))
def ctl(*words):
    done = subprocess.run([os.environ["hyperctl"], *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stdout, done.stderr
if not os.path.exists(volume):
    if has: sys.exit(f"lost: the volume, with generations {sorted(has)}")
    sys.exit(0)
code, out, err = ctl("volume", "log", "--json", volume)
if code: sys.exit(f"lost: {err}")
there = {g["generation"]: g["root"] for g in json.loads(out)}
for number, root in has.items():
    if number not in prunes and there.get(number) != root: sys.exit(f"lost: generation {number} is {there.get(number)}, was {root}")
code, out, err = ctl("volume", "verify", "--all", volume) if there else (0, "", "")
if code: sys.exit(f"lost: {out}{err}")
# It can be gone on with.
code, out, err = ctl("sync", "state0.raw", volume)
if code: sys.exit(f"lost: {err}")
EOS

declare -A size_mib=([ext4]=128 [xfs]=300)
for kind in ext4 xfs; do
    claim "$kind: what was committed is there after each power cut"
    "$SRC/tests/powercut/record" $kind "${size_mib[$kind]}" $kind 'bash work "$MOUNT" 8'
    "$SRC/tests/powercut/replay" $kind "${CUTS:-60}" 1 'python3 check "$MOUNT"'
done

# The same commands, with the syncs of some files left out below them.
declare -A careless=(["data files"]='*/disk.volume/data/*' ["the index's log"]='*/disk.volume/index/*.log' ["companions"]='*/disk.volume/companions/*')
for what in "${!careless[@]}"; do
    for kind in ext4 xfs; do
        claim "$kind: commits that leave out the sync of $what are seen"
        rm -rf $kind
        planted="env LD_PRELOAD=$leave_out_syncs LEAVE_OUT='${careless[$what]}' HYPER_IO=pread $hyperctl"
        "$SRC/tests/powercut/record" $kind "${size_mib[$kind]}" $kind "hyperctl='$planted' bash work \"\$MOUNT\" 8"
        status=0
        "$SRC/tests/powercut/replay" $kind 200 1 'python3 check "$MOUNT"' 2>said.log || status=$?
        [ $status = 1 ] && grep -q '^lost: ' said.log || die "ended with $status: $(cat said.log)"
        grep -m 1 '^lost: ' said.log
    done
done

claim "what was committed is there after each kill"
mkdir killed
"$SRC/tests/crash/crash" "${KILLS:-200}" 1 'bash work killed 6' 'python3 check killed'
