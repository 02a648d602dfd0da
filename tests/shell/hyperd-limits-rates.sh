#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A sync that runs reads no faster than the rules allow at that time, also when that changes while it runs.
. "$(dirname "$0")/lib.sh"
need curl python3

value() { python3 -c 'import json,sys; print(json.load(open("answer"))[sys.argv[1]])' "$1"; }
job_is() { [ "$(ask_hyperd GET "/v1/jobs/disk")" = 200 ] && [ "$(value "$1")" = "$2" ]; }
read_bytes() { ask_hyperd GET /v1/jobs/disk >/dev/null && python3 -c 'import json; p=json.load(open("answer"))["progress"]; print(p["done_bytes"] if p else 0)'; }
moves() { [ "$(read_bytes)" -gt 0 ]; }
configure() {
    cat >hyperd.toml <<EOF
[jobs.disk]
source = "$scratch/disk.raw"
volume = "disk"
limits = {bandwidth = [{rate = "$1"}]}
EOF
}

# At 64 KiB a second it takes a quarter of an hour.
head -c 67108864 /dev/urandom >disk.raw
configure 64KiB/s
serve_hyperd hyperd.toml
"$hyperctl" job run disk >/dev/null
eventually moves || die "$(cat answer)"

claim "it is slow where the rule says so"
sync=$(pgrep -f "hyperctl sync .* $scratch/disk.raw" | head -1)
[ "$(read_bytes)" -lt 33554432 ] || die "$(read_bytes) bytes were read"

claim "the same sync becomes fast when another rate holds, also what waits by the old one"
configure 1GiB/s
kill -HUP "$daemon"
eventually job_is last_generation 1 || die "$(cat answer)"
ask_hyperd GET "/v1/jobs/disk/runs?limit=10" >/dev/null
python3 - <<'EOF' || die "it was begun anew: $(cat answer)"
import json
runs = json.load(open("answer"))["runs"]
assert len(runs) == 1 and runs[0]["attempts"] == 1 and runs[0]["phase"] == "success", runs
EOF
kill -0 "$sync" 2>/dev/null && die "the sync that was slow is still there"
"$hyperctl" compare disk.raw "$HYPER_ROOT/volumes/disk.volume" >/dev/null || die "the disk differs"

claim "hyperctl refuses what is no rate"
status=0
echo fast | "$hyperctl" sync --limit-rate - disk.raw disk 2>refused || status=$?
[ $status -ne 0 ] && grep -q '"fast" is not a size' refused || die "$(cat refused)"
"$hyperctl" sync --limit-rate - disk.raw disk </dev/null 2>refused && die "a rate was expected"
grep -q "names no rate" refused || die "$(cat refused)"
echo 0 | "$hyperctl" sync --limit-rate - disk.raw disk >/dev/null || die "without a limit"
