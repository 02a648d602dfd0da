#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The OpenAPI document of a running hyperd is what it serves: every operation answers by its schema, and nothing else is served.
. "$(dirname "$0")/lib.sh"
# The distribution's Python has jsonschema.
PATH=/usr/bin:$PATH
need curl python3
python3 -c 'import jsonschema; jsonschema.Draft202012Validator' 2>/dev/null || skip "python3-jsonschema is missing"

make_disk random db.raw
python3 - >carbon.csv <<'EOF'
import datetime
now = datetime.datetime.now(datetime.timezone.utc).replace(minute=0, second=0, microsecond=0)
print("time,DE")
for hour in range(-24 * 10, 24 * 3):
    print(f"{(now + datetime.timedelta(hours=hour)).strftime('%Y-%m-%dT%H:%M:%SZ')},{300 + 100 * ((now.hour + hour) % 24 > 12)}")
EOF
cat >hyperd.toml <<EOF
carbon_table = "$scratch/carbon.csv"
[jobs.file]
source = "$scratch/db.raw"
volume = "file"
paused = true
EOF
serve_hyperd hyperd.toml
"$hyperctl" job add db "$scratch/db.raw" db >/dev/null
echo '{"carbon": {"source_zone": "DE", "target_zone": "DE"}}' >zones.json
"$hyperctl" job add measured "$scratch/db.raw" measured --from zones.json --rpo 1h >/dev/null
"$hyperctl" job run db >/dev/null
ran() { ask_hyperd GET "/v1/jobs/$1" >/dev/null && grep -q '"last_generation": "1"' answer; }
eventually ran db && eventually ran measured || die "$(cat answer)"

claim "every operation of the document answers as it says, and nothing else is served"
python3 "$SRC/tests/hyperd/openapi_conformance.py" "$api" db db || die "it is not"

claim "the test sees a document that is wrong"
sed 's/"openapi.json"//; s/if wrong else 0/if wrong else 0/; s/document = json.loads(\(.*\))$/document = json.loads(\1); document["components"]["schemas"]["Job"]["properties"].pop("why"); document["paths"].pop("\/v1\/runs")/' \
    "$SRC/tests/hyperd/openapi_conformance.py" >broken.py
python3 broken.py "$api" db db >said && die "it does not"
grep -q "'why' was unexpected" said && grep -q '/v1/runs is not in the document' said || die "$(cat said)"

claim "a run's grams are in its report, by low, middle and high coefficients"
[ "$(ask_hyperd POST /carbon/report/measured)" = 200 ] || die "$(cat answer)"
python3 - <<'EOF' || die "$(cat answer)"
import json
report = json.load(open("answer"))
run = report["ledger"][0]
assert report["runs_settled"] == 1 and 0 < run["grams"]["low"] < run["grams"]["middle"] < run["grams"]["high"], run
hour = 300, 400
assert any(abs(run["grams"]["middle"] / run["kwh"]["middle"] - grams) < 0.5 for grams in hour), run
EOF
[ "$(ask_hyperd POST /carbon/status '{"zone": "aws:eu-central-1"}')" = 200 ] || die "$(cat answer)"
grep -q '"zone": "DE"' answer && grep -qE '"status": "(moderate|poor)"' answer && grep -qE '"rank": 0\.' answer || die "$(cat answer)"

claim "metrics are Prometheus text"
ask_hyperd GET /metrics >/dev/null
grep -q '^hyperd_jobs{phase="waiting"} ' answer && grep -qE '^hyperd_runs_total\{outcome="success"\} [1-9]' answer || die "$(cat answer)"
