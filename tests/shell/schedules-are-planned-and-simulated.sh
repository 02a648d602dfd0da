#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need python3

cat >hyper.toml <<'END'
carbon_table = "carbon.csv"
[policies.daily]
rpo = "30h"
every = {between = "4h..24h"}
carbon = {source_zone = "DE", target_zone = "DE"}
[jobs.db]
source = "db.qcow2"
volume = "db.volume"
policy = "daily"
[jobs.web]
source = "web.qcow2"
volume = "web.volume"
policy = "daily"
rpo = "60h"
windows = {allow = ["20:00-06:00"]}
[zones.DE]
tariff_file = "power.csv"
END
# Four weeks with a clean noon.
awk 'BEGIN { print "time,DE"; for (h = 0; h < 672; h++) printf "2026-01-%02dT%02d:00Z,%d\n", h / 24 + 1, h % 24, 300 - 150 * (h % 24 >= 11 && h % 24 < 15) + h % 7 }' >carbon.csv
printf 'tariff,zone,window,start,end,price,currency,effective,source\nhome,UTC,03:00-04:00,,,-0.05,EUR,2025-01-01,contract\nhome,UTC,*,,,0.30,EUR,2025-01-01,contract\n' >power.csv

claim "a plan says when each job runs and why, with grams and money of the alternatives"
"$hyperctl" plan hyper.toml --now 2026-01-12T06:00:00Z --explain >plan.log
grep -q '^db: wait at 2026-01-12T1[1-4]' plan.log || die "$(cat plan.log)"
grep -q 'whole by: 2026-01-13T06:00:00Z' plan.log || die "no deadline"
grep -q '    now: .* g (low .* g, high .* g), .* EUR' plan.log || die "no alternatives"
"$hyperctl" plan hyper.toml --now 2026-01-12T06:00:00Z --json >plan.json
python3 - <<'END' || die "$(cat plan.json)"
import json
jobs = {job["job"]: job for job in json.load(open("plan.json"))["jobs"]}
grams = {one["what"]: one["grams"]["middle"] for one in jobs["db"]["alternatives"]}
assert grams["planned"] < 0.7 * grams["now"], grams
assert jobs["web"]["at"] >= "2026-01-12T20:00:00Z", jobs["web"]
END

claim "a simulation saves at noon, misses nothing, and gives the same again"
"$hyperctl" simulate hyper.toml --trace carbon.csv --json >one.json
"$hyperctl" simulate hyper.toml --trace carbon.csv --json >two.json
cmp one.json two.json || die "it gave something else"
python3 - <<'END' || die "$(head -c 2000 one.json)"
import json
made = json.load(open("one.json"))
assert made["total"]["rpo-misses"] == 0 and made["total"]["runs"] >= 38, made["total"]
db = made["jobs"]["db"]
assert db["grams"] < 0.75 * db["grams-at-once"] and db["share-of-foresight"] > 0.6, db
assert all(run["stretches"] for run in made["runs"])
END

claim "the plot is an SVG with axes, units and a mark for each run"
"$hyperctl" simulate hyper.toml --trace carbon.csv --from 2026-01-10T00:00Z --to 2026-01-20T00:00Z --svg plot.svg >simulate.log
python3 -c 'import xml.dom.minidom as dom; dom.parse("plot.svg")' || die "no XML"
grep -q 'gCO2eq/kWh' plot.svg && grep -q 'time, UTC' plot.svg || die "no axes"
[ "$(grep -c '<title>db' plot.svg)" -ge 9 ] || die "no runs"
grep -q '^(all)' simulate.log || die "$(cat simulate.log)"

claim "forecasts are read from a folder"
mkdir forecasts
awk 'BEGIN { print "issued,time,grams_per_kwh"; for (d = 8; d < 26; d++) for (h = 0; h < 48; h++)
    printf "2026-01-%02dT00:00Z,2026-01-%02dT%02d:00Z,%d\n", d, d + int(h / 24), h % 24, h % 24 == 20 ? 50 : 300 }' >forecasts/DE.csv
"$hyperctl" simulate hyper.toml --trace carbon.csv --forecasts forecasts --json >forecast.json
python3 - <<'END' || die "$(head -c 2000 forecast.json)"
import json
made = json.load(open("forecast.json"))
starts = [run["stretches"][0][0] for run in made["runs"] if run["job"] == "web"]
assert sum(start[11:13] in ("19", "20") for start in starts) >= 15, starts
END

claim "what is wrong in a configuration or a trace is said with its place"
! "$hyperctl" plan <(sed 's/rpo =/rop =/' hyper.toml) 2>wrong.log || die "it took it"
grep -q ':3: unknown key policies.daily.rop; did you mean rpo?' wrong.log || die "$(cat wrong.log)"
! "$hyperctl" simulate hyper.toml --trace carbon.csv --from 2027-01-01T00:00Z 2>wrong.log || die "it took it"
grep -q 'give --from' wrong.log || die "$(cat wrong.log)"
! "$hyperctl" simulate hyper.toml --trace carbon.csv --forecasts nowhere 2>wrong.log || die "it took it"
grep -q 'no ZONE.csv' wrong.log || die "$(cat wrong.log)"
