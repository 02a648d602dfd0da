#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hyperd may be killed at any instant: no job, no decision, no row of the ledger and no event is lost or doubled, and syncs that ran go on.
. "$(dirname "$0")/lib.sh"
need curl python3
kills=${KILLS:-30}

for i in 1 2 3; do head -c 8388608 /dev/urandom >disk$i.raw; done
cat >hyperd.toml <<EOF
[policies.often]
every = "OnCalendar=*-*-* *:*:0/2"
limits = {bandwidth = [{rate = "8MiB/s"}]}
overlap = "skip"
retry = {max = 50, initial = "1s", cap = "1s"}
[jobs.one]
source = "$scratch/disk1.raw"
volume = "one"
policy = "often"
[jobs.two]
source = "$scratch/disk2.raw"
volume = "two"
policy = "often"
EOF
echo '{"retry": {"max": 50, "initial": "1s", "cap": "1s"}}' >retry.json
serve_hyperd hyperd.toml
# What was acknowledged is written down here, by the only one who knows: the client.
snapshot() { curl -sf --unix-socket "$api" -o "$1" "http://localhost/v1/runs?limit=1000"; }
snapshot acknowledged

for ((kill = 1; kill <= kills; ++kill)); do
    if "$hyperctl" job add "added$kill" "$scratch/disk3.raw" "added$kill" --from retry.json >/dev/null 2>&1; then echo "added$kill" >>added; fi
    [ $((kill % 5)) != 1 ] || ! "$hyperctl" job run "added$kill" >/dev/null 2>&1 || echo "added$kill" >>asked
    snapshot seen$kill || :
    printf '%s' "$RANDOM" | dd of=disk1.raw bs=1 seek=$((RANDOM * 100)) conv=notrunc status=none
    # An instant of the next second.
    read -r -t "0.$(printf %03d $((RANDOM % 1000)))" <> <(:) || :
    kill -9 "$daemon"
    wait "$daemon" 2>/dev/null || :
    serve_hyperd hyperd.toml
done

claim "every job that was added is there after $kills kills"
"$hyperctl" job list --json >jobs
python3 - <<'EOF' || die "$(cat jobs)"
import json
there = {job["name"] for job in json.load(open("jobs"))}
missing = set(open("added").read().split()) - there
assert not missing, missing
EOF

claim "every run that was asked for ran"
# At least once: where hyperd did not live to write down that it had ended, it ran again under the same period.
all_ran() {
    local name
    for name in $(cat asked); do ask_hyperd GET "/v1/jobs/$name" >/dev/null && grep -q '"last_generation": "[0-9]' answer || return 1; done
}
eventually all_ran || die "$(cat answer)"

claim "no row of the ledger is lost or doubled, and none that had ended is changed"
snapshot final
python3 - <<'EOF' || die "the ledger is not what it was"
import glob, json
final = json.load(open("final"))["runs"]
keys = [(run["job"], run["period"]) for run in final]
assert len(keys) == len(set(keys)), "doubled"
by_key = dict(zip(keys, final))
checked = 0
for name in glob.glob("seen*"):
    try: seen = json.load(open(name))["runs"]
    except ValueError: continue
    for run in seen:
        now = by_key[run["job"], run["period"]]
        checked += 1
        if run["phase"] == "success":
            for field in ("phase", "generation", "read_bytes", "changed_bytes", "seconds", "started_at", "ended_at", "due", "decided_at", "cause"):
                assert now[field] == run[field], (field, run, now)
assert checked > 0
EOF

claim "each success is a generation of its own"
python3 - "$hyperctl" <<'EOF' || die "ledger and volumes differ"
import json, subprocess, sys
final = json.load(open("final"))["runs"]
for job in ("one", "two"):
    said = [int(run["generation"]) for run in final if run["job"] == job and run["phase"] == "success"]
    assert said and len(said) == len(set(said)), (job, said)
    there = json.loads(subprocess.run([sys.argv[1], "volume", "log", job, "--json"], capture_output=True, check=True).stdout)
    assert set(said) <= {one["generation"] for one in there}, (job, said)
EOF

claim "the events have no gap"
python3 - "$api" <<'EOF' || die "events are missing"
import socket, sys
stream = socket.socket(socket.AF_UNIX)
stream.connect(sys.argv[1])
stream.settimeout(20)
stream.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 0\r\n\r\n")
text = b""
while b":\n\n" not in text.replace(b"data:", b""):
    try: more = stream.recv(65536)
    except TimeoutError: break
    if not more: break
    text += more
    if text.count(b"\nid: ") > 5 and len(more) < 1000: break
ids = [int(line[4:]) for line in text.split(b"\n") if line.startswith(b"id: ")]
assert len(ids) > 5 and ids == list(range(1, len(ids) + 1)), ids[:50]
EOF

claim "the disks are what the newest generations hold"
kill "$daemon"; gone "$daemon"
for name in one two; do
    "$hyperctl" sync "disk$([ $name = one ] && echo 1 || echo 2).raw" $name >/dev/null || die "the volume $name cannot be synced"
    "$hyperctl" volume verify $name >/dev/null || die "the volume $name is damaged"
done
