#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hyperd asks carbon services, plans by what they say, and says which, how old, and what is used where one fails. The services are a mock that replays a table
# at the time of this machine.
. "$(dirname "$0")/lib.sh"
need curl /usr/bin/python3
PATH=/usr/bin:$PATH
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy

# Three days back and four on: dirty now, clean from in five hours on.
python3 - >trace.csv <<'END'
import datetime
now = datetime.datetime.now(datetime.timezone.utc).replace(minute=0, second=0, microsecond=0)
print("time,DE,US-CAL-CISO")
for hour in range(-72, 96):
    value = 100 if hour >= 5 else 500
    print(f"{(now + datetime.timedelta(hours=hour)).strftime('%Y-%m-%dT%H:%M:%SZ')},{value},{value}")
END
python3 "$SRC/tests/carbon_feeds/mock_feeds.py" trace.csv port 2>mock.log &
servers+=($!)
eventually test -s port || die "the mock did not start"
mock=http://127.0.0.1:$(cat port)
curl -sf -X PUT "$mock/mock/clock" -d "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >/dev/null

(umask 077 && echo em-token >token && echo freddo:frog >login)
make_disk random db.raw
cat >feeds.toml <<END
[feeds.maps]
kind = "electricitymaps"
token_file = "$scratch/token"
base_url = "$mock/em/v3"
END
cat >jobs.toml <<END
[policies.clean]
rpo = "20h"
every = {between = "0h..19h"}
carbon = {source_zone = "DE", target_zone = "DE"}
[jobs.names-the-zone]
source = "$scratch/db.raw"
volume = "idle"
policy = "clean"
paused = true
[jobs.later]
source = "$scratch/db.raw"
volume = "later"
policy = "clean"
windows = {allow = ["$(date -u -d '2 hours' +%H:%M)-$(date -u -d '20 hours' +%H:%M)"]}
END
cat feeds.toml jobs.toml >hyperd.toml
# It takes requests, and answers them when it goes on.
mock_process=${servers[-1]}
kill -STOP "$mock_process"
serve_hyperd hyperd.toml

value() { python3 -c 'import json,sys; v=json.load(open("answer"))
for k in sys.argv[1:]: v=v[int(k)] if isinstance(v,list) else v[k]
print(v)' "$@"; }
status_is() { [ "$(ask_hyperd POST /carbon/status "{\"zone\": \"$1\", \"signal\": \"${4:-average}\"}")" = 200 ] && [ "$(value "$2")" = "$3" ]; }
planned() { "$hyperctl" plan --explain >plan && grep -q "$1" plan; }

decided() { [ "$(ask_hyperd GET /v1/jobs/later/decisions)" = 200 ] && value decisions 0 why 2>/dev/null | grep -q "$1"; }

claim "a plan that knew nothing is made anew when the service has answered"
eventually decided 'nothing is known' || die "$(cat answer)"
kill -CONT "$mock_process"
eventually decided "maps's forecast of" || die "$(cat answer)"
[ "$(value decisions 0 cause)" = planned ] && [ "$(value decisions 1 cause)" != planned ] || die "$(cat answer)"

claim "the status of a zone is of the feed that told it"
eventually status_is aws:eu-central-1 source maps || die "$(cat answer)"
python3 -c 'import json
status = json.load(open("answer"))
# A forecast where an hour has begun since the clock of the mock was set.
assert status["zone"] == "DE" and status["quality"] in ("measured", "forecast") and 400 < status["grams_per_kwh"] <= 500, status
assert status["status"] == "poor" and status["words"] == [], status' || die "$(cat answer)"
ask_hyperd GET /carbon/zones >/dev/null
python3 -c 'import json
zones = {one["zone"]: one for one in json.load(open("answer"))["zones"]}
assert [one["source"] for one in zones["DE"]["signals"]] == ["maps"] and zones["FR"]["signals"] == [], zones["DE"]' || die "$(head -c 2000 answer)"

claim "a job waits for the clean hours that the feed foretells, and its plan names feed and issue"
"$hyperctl" job add db "$scratch/db.raw" db --policy clean >/dev/null
eventually planned "maps's forecast of" || die "$(cat plan)"
grep -q '^db: wait at ' plan && grep -q 'forecasts: DE maps 20' plan || die "$(cat plan)"
ask_hyperd GET /v1/jobs/db/decisions >/dev/null
value decisions 0 why | grep -q "maps's forecast of" && value decisions 0 forecasts | grep -q '^DE maps 20' || die "$(cat answer)"

claim "what services said is there after a restart, and when they are down it is said what fails and what is used instead; the plan goes on"
kill "$daemon"; gone "$daemon" || die "it does not end"
curl -sf -X PUT "$mock/mock/fail" -d 1 >/dev/null
serve_hyperd hyperd.toml
eventually planned 'note: zone DE: maps: .*, next try .* UTC; using its forecast of ' || die "$(cat plan)"
grep -q '^db: wait at ' plan && grep -q "maps's forecast of" plan || die "$(cat plan)"
curl -sf -X PUT "$mock/mock/fail" -d 0 >/dev/null

claim "a marginal signal that no feed tells is unknown, and the average is not taken for it"
echo '{"carbon": {"source_zone": "US-CAL-CISO", "signal": "marginal"}}' >marginal.json
"$hyperctl" job add marginal "$scratch/db.raw" marginal --rpo 20h --from marginal.json --paused >/dev/null
status_is US-CAL-CISO quality unknown marginal || die "$(cat answer)"
grep -q 'no feed of its marginal intensity is configured, and the average one is not taken instead' answer || die "$(cat answer)"

claim "a feed that is added while hyperd runs is asked"
cat feeds.toml - jobs.toml >hyperd.toml <<END
[feeds.moer]
kind = "watttime"
token_file = "$scratch/login"
base_url = "$mock/wt"
[zones.US-CAL-CISO]
region = "CAISO_NORTH"
END
kill -HUP "$daemon"
eventually status_is US-CAL-CISO source moer marginal || die "$(cat answer)"
status_is US-CAL-CISO quality unknown average || die "$(cat answer)"

claim "a wrong configuration is refused with file, key and what to do, and what was in force stays"
sed 's/^token_file = .*token"$//' hyperd.toml >wrong.toml
! "$hyperd" --check-config --config wrong.toml 2>said || die "it is good"
grep -q 'wrong.toml: feeds.maps.token_file: electricitymaps wants one' said || die "$(cat said)"
chmod 0644 token
! "$hyperd" --check-config --config hyperd.toml 2>said || die "it is good"
grep -q 'feeds.maps.token_file: .*chmod 0600' said || die "$(cat said)"
chmod 0600 token
cp hyperd.toml good.toml
cp wrong.toml hyperd.toml
kill -HUP "$daemon"
eventually grep -q 'stays as it was.*feeds.maps.token_file' hyperd.log || die "not said"
status_is DE source maps || die "$(cat answer)"
cp good.toml hyperd.toml

claim "what a feed said that is taken out is not used"
cp jobs.toml hyperd.toml
kill -HUP "$daemon"
eventually status_is DE quality unknown || die "$(cat answer)"

claim "hyperd ends soon though a service does not answer"
python3 - >slow-port <<'END' &
import socket, time
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
client, _ = server.accept()
open("asked", "w").close()
time.sleep(60)
END
servers+=($!)
eventually test -s slow-port
sed "s#$mock/em/v3#http://127.0.0.1:$(cat slow-port)#" good.toml >hyperd.toml
kill -HUP "$daemon"
eventually test -e asked || die "it is not asked"
begun=$(date +%s%N)
kill "$daemon"; gone "$daemon" || die "it does not end"
took_ms=$((($(date +%s%N) - begun) / 1000000))
[ $took_ms -lt 4000 ] || die "it took $took_ms ms"

claim "no token is in a log, an answer or the state"
! grep -rl -e em-token -e 'freddo:frog' --exclude=token --exclude=login --exclude='*.log.gz' . || die "a secret is there"
