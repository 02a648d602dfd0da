#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The clients of carbon services against a mock of all four, over two weeks of a virtual clock in which requests fail in every way.
. "$(dirname "$0")/lib.sh"
feeds_replay=$BUILD/tests/carbon_feeds/feeds_replay
need "$feeds_replay" /usr/bin/python3
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy

/usr/bin/python3 "$SRC/tests/carbon_feeds/make_trace.py" 22 >trace.csv

# Sets $port.
serve_feeds() {
    rm -f port
    /usr/bin/python3 "$SRC/tests/carbon_feeds/mock_feeds.py" trace.csv port 2>mock.log &
    servers+=($!)
    eventually test -s port || die "the mock did not start"
    port=$(cat port)
}

# Writes NAME.json: what came of it.
replay() {  # NAME DAYS FAIL-FROM-DAY FAIL
    mkdir "$1"
    (umask 077 && echo em-token >"$1/token" && echo freddo:frog >"$1/login")
    serve_feeds
    "$feeds_replay" "http://127.0.0.1:$port" trace.csv "$1" "$2" "$3" "$4" >"$1.json" 2>"$1.log" || die "$1: $(tail -n 5 "$1.log")"
    kill "${servers[-1]}"
}

# Whether a Python expression of an answer (and of `whole`, the one without failures) holds.
holds() {  # NAME EXPRESSION
    /usr/bin/python3 -c 'import json, sys
got, whole = (json.load(open(name + ".json")) for name in (sys.argv[1], "none"))
q = got["qualities"]
sys.exit(not eval(sys.argv[2]))' "$1" "$2" || die "$1: not so: $2
$(cat "$1.json")"
}

replay none 15 8 0
claim "without failures every hour has a forecast, and waiting saves"
holds none 'got["saved_percent"] > 5 and set(q) == {"forecast"} and got["jobs"] > 400'

for fail in 0.01 0.1; do
    replay "fail-$fail" 15 8 "$fail"
    claim "where $fail of all requests fail no deadline is missed, and at least 85 % of the saving is left"
    holds "fail-$fail" 'got["missed"] == 0 and got["without_plan"] == 0 and got["waiting"] == 0 and got["jobs"] == whole["jobs"]'
    holds "fail-$fail" 'got["saved_percent"] >= 0.85 * whole["saved_percent"]'
done
claim "where one request in ten fails a forecast is still there for nearly every hour"
holds fail-0.1 'q["forecast"] > 0.8 * sum(q.values()) and "unknown" not in q'

replay fail-1 15 8 1
claim "where all fail every job runs before its deadline, by stored forecasts first, then by the hours of the week, over a restart"
holds fail-1 'got["missed"] == 0 and got["without_plan"] == 0 and got["waiting"] == 0 and got["jobs"] == whole["jobs"]'
holds fail-1 'q["older forecast"] > 60 and q["hour-of-week profile"] > 200 and "unknown" not in q and got["saved_percent"] > 0'
claim "a service that fails is not asked more often than one that answers"
holds fail-1 'got["calls"] <= whole["calls"]'
claim "and it is said what fails and what is used instead"
holds fail-1 'any("next try" in line for line in got["words"]) and any("usually measures" in line for line in got["words"])'

replay never 10 0 1
claim "where nothing ever answered every job runs at once"
holds never 'got["missed"] == 0 and got["without_plan"] == 0 and got["waiting"] == 0 and set(q) == {"unknown"} and got["saved_percent"] == 0'

claim "no secret stands in what is stored or logged"
if grep -rl -e em-token -e 'freddo:frog' --include='*.log' --include='*.answers' --include='*.json' .; then die "a secret is there"; fi
for name in none fail-0.01 fail-0.1 fail-1 never; do echo "$name: $(cut -c1-420 "$name.json")"; done
