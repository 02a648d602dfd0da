#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hyperd runs jobs: those of its file and those that are added, when they are due or asked for, with their hooks; and tells what came of it.
. "$(dirname "$0")/lib.sh"
need curl python3

value() { python3 -c 'import json,sys; v=json.load(open("answer"))
for k in sys.argv[1:]: v=v[int(k)] if isinstance(v,list) else v[k]
print(v)' "$@"; }
job_is() { [ "$(ask_hyperd GET "/v1/jobs/$1")" = 200 ] && [ "$(value "$2")" = "$3" ]; }
generation() { "$hyperctl" volume list --json | python3 -c 'import json,sys
print(next((v["latest"]["generation"] for v in json.load(sys.stdin) if v["name"]==sys.argv[1] and "latest" in v), 0))' "$1"; }

make_disk random db.raw
make_disk random web.raw
cat >hyperd.toml <<EOF
[jobs.db]
source = "$scratch/db.raw"
volume = "db"
rpo = "1h"
EOF
serve_hyperd hyperd.toml

claim "a job of the file that never ran is run for its recovery point objective"
eventually job_is db last_generation 1 || die "no generation: $(cat answer)"
[ "$(generation db)" = 1 ] || die "the volume has no generation"

claim "a job is added by hyperctl, and runs when it is asked for"
"$hyperctl" job add web "$scratch/web.raw" web >added
grep -q '^web: ' added || die "$(cat added)"
[ "$(generation web)" = 0 ] || die "it ran unasked"
"$hyperctl" job run web >/dev/null
eventually job_is web last_generation 1 || die "no generation: $(cat answer)"
"$hyperctl" export web web.out -O raw >/dev/null
cmp web.raw web.out || die "the generation is not the disk"

claim "the next run stores what changed"
printf changed | dd of=web.raw bs=1 seek=65536 conv=notrunc status=none
"$hyperctl" job run web >/dev/null
eventually job_is web last_generation 2 || die "$(cat answer)"
"$hyperctl" job show web --json >shown
python3 - <<'EOF' || die "$(cat shown)"
import json
job = json.load(open("shown"))
first, second = job["runs"][1], job["runs"][0]
assert first["phase"] == second["phase"] == "success", job["runs"]
assert first["read_bytes"] > 0 and 0 < second["changed_bytes"] <= 65536, second
assert first["period"] != second["period"]
assert second["kwh"]["low"] > 0 and second["kwh"]["low"] < second["kwh"]["middle"] < second["kwh"]["high"], second["kwh"]
EOF
"$hyperctl" job list >list
grep -qE '^web +done .* 2 +' list && grep -qE '^db +' list || die "$(cat list)"

claim "what a run said is kept"
"$hyperctl" job logs web >log
grep -q 'generation 2: ' log || die "$(cat log)"

claim "hooks run around the sync, and one before it that fails lets it not run"
cat >hook <<'EOF'
#!/bin/sh
echo "$1 $HYPER_JOB $HYPER_OUTCOME" >>"$2"
exit "${3:-0}"
EOF
chmod +x hook
cat >hooked.json <<EOF
{"pre": {"run": ["$scratch/hook", "pre", "$scratch/said"]}, "post": {"run": ["$scratch/hook", "post", "$scratch/said"]}}
EOF
"$hyperctl" job add hooked "$scratch/web.raw" hooked --from hooked.json >/dev/null
"$hyperctl" job run hooked >/dev/null
eventually job_is hooked last_generation 1 || die "$(cat answer)"
[ "$(cat said)" = "pre hooked 
post hooked success" ] || die "$(cat said)"
sed "s#\"$scratch/said\"\\]}, \"post#\"$scratch/said\", \"1\"]}, \"retry\": {\"max\": 0}, \"post#" hooked.json >failing.json
"$hyperctl" job add failing "$scratch/web.raw" failing --from failing.json >/dev/null
"$hyperctl" job run failing >/dev/null
eventually job_is failing last_failed True || die "$(cat answer)"
[ "$(generation failing)" = 0 ] || die "it ran though the hook failed"
tail -n 1 said | grep -qx 'post failing failed' || die "what was frozen stays frozen: $(cat said)"

claim "a sync that fails says why, and is tried again where that may help"
"$hyperctl" job add gone "$scratch/gone.raw" gone >/dev/null
"$hyperctl" job run gone >/dev/null
eventually job_is gone last_failed True || die "$(cat answer)"
ask_hyperd GET /v1/jobs/gone/runs >/dev/null
value runs 0 message | grep -q 'gone.raw' || die "$(cat answer)"
[ "$(value runs 0 phase)" = failed ] || die "$(cat answer)"

claim "a job of the file cannot be changed by the API, and one that was added can"
[ "$(ask_hyperd DELETE /v1/jobs/db)" = 409 ] || die "$(cat answer)"
[ "$(ask_hyperd PUT /v1/jobs/web "{\"source\": \"$scratch/db.raw\", \"volume\": \"web\", \"priority\": 70}")" = 200 ] || die "$(cat answer)"
[ "$(value priority)" = 70 ] || die "$(cat answer)"
"$hyperctl" job delete failing >/dev/null
[ "$(ask_hyperd GET /v1/jobs/failing)" = 404 ] || die "$(cat answer)"

claim "a definition that is wrong is refused, and the wrong key is named"
[ "$(ask_hyperd POST /v1/jobs '{"name": "new", "source": "/a", "volume": "b", "polici": "x"}')" = 422 ] || die "$(cat answer)"
grep -q 'polici' answer && grep -q 'policy' answer || die "$(cat answer)"
[ "$(ask_hyperd POST /v1/jobs '{"name": "web", "source": "/a", "volume": "b"}')" = 409 ] || die "$(cat answer)"

claim "pause holds a job, resume lets it go"
"$hyperctl" job pause web >/dev/null
eventually job_is web phase paused || die "$(cat answer)"
"$hyperctl" job run web >/dev/null
"$hyperctl" job resume web >/dev/null
eventually job_is web last_generation 3 || die "$(cat answer)"

claim "SIGHUP reads the configuration again, and a wrong one changes nothing"
cat >>hyperd.toml <<EOF
[jobs.later]
source = "$scratch/web.raw"
volume = "later"
EOF
kill -HUP "$daemon"
eventually job_is later phase done || die "$(cat answer)"
echo nonsense >>hyperd.toml
kill -HUP "$daemon"
eventually grep -q 'stays as it was' hyperd.log || die "not said"
job_is later phase done || die "$(cat answer)"
sed -i /nonsense/d hyperd.toml

claim "what was added, and what is known, is there after a restart"
kill "$daemon"
gone "$daemon" || die "it does not end"
wait "$daemon" || die "it ended with $?"
serve_hyperd hyperd.toml
job_is web last_generation 3 || die "$(cat answer)"
job_is web priority 70 || die "$(cat answer)"

claim "without hyperd the commands say so"
kill "$daemon"; gone "$daemon"
"$hyperctl" job list 2>said.err && die "no error"
grep -q 'does hyperd run?' said.err || die "$(cat said.err)"

claim "a configuration is judged without being used"
"$hyperd" --check-config --config hyperd.toml >said.out || die "a good one is refused"
grep -q 'good: 2 jobs' said.out || die "$(cat said.out)"
echo 'volum = "x"' >>hyperd.toml
"$hyperd" --check-config --config hyperd.toml 2>said.err && die "a wrong one is good"
grep -q 'volum' said.err && grep -q 'volume' said.err || die "$(cat said.err)"
"$hyperd" --schema | python3 -c 'import json,sys; assert "$schema" in json.load(sys.stdin)' || die "no schema"
