#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A sync that had made its generation when hyperd was killed is not made once more: the run ends with that generation.
. "$(dirname "$0")/lib.sh"
need curl python3

generations() { "$hyperctl" volume log disk --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)))'; }
ended_with() { ask_hyperd GET /v1/jobs/disk >/dev/null && grep -q "\"last_generation\": \"$1\"" answer; }

head -c 8388608 /dev/urandom >disk.raw
# In place of the sync program: once it is through with its sync, and hyperd has noted how far that came, it kills hyperd, which does not hear
# of its end.
program=$hyperctl
cat >kills-hyperd <<EOF
#!/bin/bash
"$program" "\$@" >report || exit
if [ ! -e killed ]; then
    touch killed
    until grep -q '"moved-bytes":8388608' "$HYPER_ROOT/scheduler/attempts/disk"; do sleep 0.1; done
    kill -9 "\$(cat pid)"
    sleep 60
fi
cat report
EOF
chmod +x kills-hyperd
cat >hyperd.toml <<EOF
[jobs.disk]
source = "$scratch/disk.raw"
volume = "disk"
EOF
hyperctl=$scratch/kills-hyperd
serve_hyperd hyperd.toml
hyperctl=$program
echo "$daemon" >pid
"$hyperctl" job run disk >/dev/null
gone "$daemon" || die "hyperd was not killed"
wait "$daemon" 2>/dev/null || :
[ "$(generations)" = 1 ] || die "the sync was to have made a generation: $(cat report)"

claim "the run ends well with the generation that is there, and nothing is read again"
# Other bytes would be a generation that differs.
head -c 4096 /dev/urandom | dd of=disk.raw conv=notrunc status=none
serve_hyperd hyperd.toml
eventually ended_with 1 || die "$(cat answer)"
[ "$(generations)" = 1 ] || die "there are $(generations) generations"
ask_hyperd GET "/v1/jobs/disk/runs?limit=10" >/dev/null
python3 - <<'EOF' || die "$(cat answer)"
import json
runs = json.load(open("answer"))["runs"]
assert len(runs) == 1 and runs[0]["phase"] == "success" and runs[0]["generation"] == "1", runs
# What the killed one had read is counted, and told apart.
assert runs[0]["read_bytes"] == runs[0]["noted_bytes"] == 8388608 and len(runs[0]["stretches"]) == 2, runs
EOF

claim "the next run is another one"
"$hyperctl" job run disk >/dev/null
eventually ended_with 2 || die "$(cat answer)"

claim "so it is where a state folder is begun anew, and its runs have the same names"
kill "$daemon"
gone "$daemon" || die "hyperd does not end"
rm -r "$HYPER_ROOT/scheduler"
serve_hyperd hyperd.toml
"$hyperctl" job run disk >/dev/null
eventually ended_with 3 || die "$(cat answer)"

claim "hyperctl tells the generation that was made for a run"
"$hyperctl" sync disk.raw disk --run mine >/dev/null
"$hyperctl" sync nothing-there.raw disk --run mine | grep -q "^generation 4 " || die "it is not told"
[ "$(generations)" = 4 ] || die "there are $(generations) generations"
"$hyperctl" sync disk.raw disk --run another >/dev/null
[ "$(generations)" = 5 ] || die "there are $(generations) generations"
