#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Webhooks get every event that they want: signed, in order, again until they are taken, also over a restart.
. "$(dirname "$0")/lib.sh"
need curl python3

touch taken
(umask 077 && echo "a secret of some length" >secret)
python3 "$SRC/tests/hyperd/webhook_receiver.py" port "a secret of some length" taken &
servers+=($!)
eventually test -s port || die "no receiver"
make_disk random db.raw
cat >hyperd.toml <<EOF
[jobs.db]
source = "$scratch/db.raw"
volume = "db"
[[api.webhooks]]
url = "http://127.0.0.1:$(cat port)/hook"
secret_file = "$scratch/secret"
events = ["run.*"]
EOF
serve_hyperd hyperd.toml

claim "an event is sent again until it is taken, with its signature"
"$hyperctl" job run db >/dev/null
eventually grep -q ' run.started' taken || die "$(cat taken)"
[ "$(grep -c '^refused' taken)" -ge 2 ] || die "$(cat taken)"
! grep -q wrong taken || die "$(cat taken)"

claim "what was not taken yet is sent after a kill"
kill -9 "$daemon"
wait "$daemon" 2>/dev/null || :
serve_hyperd hyperd.toml
eventually grep -q ' run.succeeded' taken || die "$(cat taken)"

claim "they come in order, and only those that are wanted"
python3 - <<'EOF' || die "$(cat taken)"
took = [line.split() for line in open("taken") if line[0].isdigit()]
ids = [int(event) for event, kind in took]
assert ids == sorted(ids), took
assert all(kind.startswith("run.") for event, kind in took), took
EOF
! grep -q wrong taken || die "$(cat taken)"
