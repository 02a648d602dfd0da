#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Who listens to hyperd's events misses none, also not those that happened while nobody listened or while hyperd was away.
. "$(dirname "$0")/lib.sh"
need curl python3

make_disk random db.raw
cat >hyperd.toml <<EOF
[jobs.db]
source = "$scratch/db.raw"
volume = "db"
EOF
serve_hyperd hyperd.toml
ran() { ask_hyperd GET /v1/jobs/db >/dev/null && grep -q "\"last_generation\": \"$1\"" answer; }
change() { printf '%s' "$1" | dd of=db.raw bs=1 conv=notrunc status=none; }
listen() { curl -sN --unix-socket "$api" "$@" http://localhost/events >>stream & listener=$!; servers+=($listener); }

claim "events come as they happen, each with its id"
listen
eventually grep -q '^retry:' stream || die "no stream"
"$hyperctl" job run db >/dev/null
eventually grep -q '^event: run.succeeded' stream || die "$(cat stream)"
grep -q '^event: run.started' stream || die "$(cat stream)"
kill $listener
python3 - <<'EOF' || die "$(cat stream)"
import json
ids = [int(line[4:]) for line in open("stream") if line.startswith("id: ")]
data = [json.loads(line[6:]) for line in open("stream") if line.startswith("data: ")]
assert ids == [one["id"] for one in data] and ids == sorted(set(ids)), ids
EOF

claim "after Last-Event-ID come those that were missed, also over a restart, each once"
last=$(sed -n 's/^id: //p' stream | tail -n 1)
change 1
"$hyperctl" job run db >/dev/null
eventually ran 2 || die "$(cat answer)"
kill "$daemon"; gone "$daemon"
serve_hyperd hyperd.toml
mv stream before; : >stream
listen -H "Last-Event-ID: $last"
eventually grep -q '^event: config.loaded' stream || die "$(cat stream)"
grep -q '^event: run.succeeded' stream || die "$(cat stream)"
python3 - "$last" <<'EOF' || die "$(cat stream)"
import sys
ids = [int(line[4:]) for line in open("stream") if line.startswith("id: ")]
assert ids == list(range(int(sys.argv[1]) + 1, ids[-1] + 1)), ids
EOF
[ "$(curl -s -o answer -w '%{http_code}' --unix-socket "$api" -H 'Last-Event-ID: x' http://localhost/events)" = 422 ] || die "$(cat answer)"

claim "hyperctl job watch prints them"
"$hyperctl" job watch --json >watched &
watcher=$!
servers+=($watcher)
watching() { change "$RANDOM"; "$hyperctl" job run db >/dev/null; sleep 0.2; grep -q '"kind":"run.succeeded"' watched; }
eventually watching || die "$(cat watched)"
kill $watcher

claim "streams that nobody serves any more end, and hyperd does too"
listen
kill "$daemon"
gone "$daemon" || die "it does not end while somebody listens"
wait "$daemon" || die "it ended with $?"
gone $listener || die "the stream did not end"
