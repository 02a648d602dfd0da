#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# To cancel a run ends it, really: when it is said, no process of it is left, and the volume can be written by others. What it stored is kept.
. "$(dirname "$0")/lib.sh"
need curl python3

value() { python3 -c 'import json,sys; print(json.load(open("answer"))[sys.argv[1]])' "$1"; }
job_is() { [ "$(ask_hyperd GET "/v1/jobs/$1")" = 200 ] && [ "$(value "$2")" = "$3" ]; }
processes_of() { pgrep -f "hyperctl sync .* $scratch/$1" || :; }
last_run_is() { ask_hyperd GET "/v1/jobs/$1/runs?limit=1" >/dev/null && [ "$(python3 -c 'import json; print(json.load(open("answer"))["runs"][0]["phase"])')" = "$2" ]; }
moves() { job_is "$1" phase running && python3 -c 'import json,sys; p=json.load(open("answer"))["progress"]; sys.exit(not (p and p["done_bytes"] > 0))'; }

# At 1 MiB a second it takes a minute.
head -c 67108864 /dev/urandom >slow.raw
cat >hyperd.toml <<EOF
[jobs.slow]
source = "$scratch/slow.raw"
volume = "slow"
limits = {bandwidth = [{rate = "1MiB/s"}]}
EOF
serve_hyperd hyperd.toml

claim "a run that goes on tells how far it is"
"$hyperctl" job run slow >/dev/null
eventually moves slow || die "$(cat answer)"
[ -n "$(processes_of slow.raw)" ] || die "there is no process"

claim "when it is said to be cancelled, none of its processes is left"
"$hyperctl" job cancel slow >/dev/null
job_is slow phase running && die "cancel returned while it ran"
[ -z "$(processes_of slow.raw)" ] || die "it goes on: $(processes_of slow.raw)"
last_run_is slow cancelled || die "$(cat answer)"

claim "it is not begun again by itself, and its volume is free"
job_is slow phase waiting || job_is slow phase done || die "$(cat answer)"
"$hyperctl" sync --create slow.raw slow >/dev/null || die "the volume is not free"

claim "a process that does not listen to SIGTERM is ended too"
cat >stubborn <<'EOF'
#!/bin/bash
trap '' TERM
echo $$ >"$1"
while :; do sleep 1 || :; done
EOF
chmod +x stubborn
cat >>hyperd.toml <<EOF
[jobs.stubborn]
source = "$scratch/slow.raw"
volume = "stubborn"
pre = {run = ["$scratch/stubborn", "$scratch/pid"], time_limit = "10m"}
EOF
kill -HUP "$daemon"
eventually job_is stubborn phase done || die "$(cat answer)"
"$hyperctl" job run stubborn >/dev/null
eventually test -s pid || die "the hook does not run"
"$hyperctl" job cancel stubborn >/dev/null
kill -0 "$(cat pid)" 2>/dev/null && die "it still runs"
last_run_is stubborn cancelled || die "$(cat answer)"

claim "a sync ends with hyperd, however that ends"
"$hyperctl" volume delete slow --force >/dev/null
"$hyperctl" job run slow >/dev/null
eventually moves slow || die "$(cat answer)"
kill -9 "$daemon"
wait "$daemon" 2>/dev/null || :
none_left() { [ -z "$(processes_of slow.raw)" ]; }
eventually none_left || die "it outlives hyperd: $(processes_of slow.raw)"
