#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What hyperd keeps survives a store that cannot be written for a while, and a restart whatever jobs are called.
. "$(dirname "$0")/lib.sh"
need curl python3

job_is() { [ "$(ask_hyperd GET "/v1/jobs/$1")" = 200 ] && python3 -c 'import json,sys; sys.exit(json.load(open("answer"))[sys.argv[1]] != sys.argv[2])' "$2" "$3"; }
newest_run_is() { ask_hyperd GET "/v1/jobs/$1/runs?limit=1" >/dev/null && python3 -c 'import json,sys; sys.exit(json.load(open("answer"))["runs"][0]["phase"] != sys.argv[1])' "$2"; }
# Somebody else writes to the store, and does not come to an end.
hold_store() {
    coproc holder { python3 -c '
import sqlite3, sys
store = sqlite3.connect(sys.argv[1], isolation_level=None)
store.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()' "$HYPER_ROOT/scheduler/jobs.db"; }
    holder_pid=$!
    read -r word <&"${holder[0]}" && [ "$word" = held ] || die "the store is not held"
}
release_store() { eval "exec ${holder[1]}>&-"; wait "$holder_pid"; }
unwritten() { [ "$(grep -c 'could not be written, and is tried again' hyperd.log)" -ge "$1" ]; }

# At 8 MiB a second it takes some three seconds.
head -c 25165824 /dev/urandom >disk.raw
cat >hyperd.toml <<C
[jobs.slow]
source = "$scratch/disk.raw"
volume = "slow"
limits = {bandwidth = [{rate = "8MiB/s"}]}
C
serve_hyperd hyperd.toml

claim "jobs that were added are there after a restart, also one that comes after another of a later name"
"$hyperctl" job add zeta "$scratch/disk.raw" zeta >/dev/null
echo '{"after": [{"job": "zeta"}]}' >after.json
"$hyperctl" job add alpha "$scratch/disk.raw" alpha --from after.json >/dev/null
kill -9 "$daemon"
wait "$daemon" 2>/dev/null || :
serve_hyperd hyperd.toml
for name in zeta alpha; do [ "$(ask_hyperd GET "/v1/jobs/$name")" = 200 ] || die "$name is gone: $(cat answer)"; done

claim "the end of a run that could not be written is written when that is possible again"
"$hyperctl" job run slow >/dev/null
eventually job_is slow phase running || die "$(cat answer)"
hold_store
eventually unwritten 1 || die "$(cat hyperd.log)"
release_store
eventually newest_run_is slow success || die "$(cat answer)"
job_is slow phase running && die "it is said to run"

claim "hyperd ends, too, where an end waits to be written"
head -c 25165824 /dev/urandom >disk.raw
"$hyperctl" job run slow >/dev/null
eventually job_is slow phase running || die "$(cat answer)"
hold_store
eventually unwritten 2 || die "$(cat hyperd.log)"
kill "$daemon"
release_store
gone "$daemon" || die "it does not end"
wait "$daemon" || die "it ended with $?"
serve_hyperd hyperd.toml
eventually newest_run_is slow success || die "$(cat answer)"
