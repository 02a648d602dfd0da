#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hyperd knows prices: its plans show money, its runs are charged, budgets and the month's requests hold, and nothing of that is lost with it.
. "$(dirname "$0")/lib.sh"
need curl python3

# A disk of two parts of 8 MiB. A request costs 0.5; what is sent costs nothing for 8 MiB a month, and 100 a GB then.
head -c 16777216 /dev/urandom >disk.raw
cat >prices.csv <<'EOF_PRICES'
vendor,service,family,region,sku,attributes,purchase_option,unit,start,end,price,currency,effective,source
own,object,storage,any,std,,,GB-month,0,,0,EUR,2026-01-01,contract
own,object,requests,any,std-get,,,request,0,,0.5,EUR,2026-01-01,contract
own,net,egress,any,internet,,,GB,0,0.008388608,0,EUR,2026-01-01,contract
own,net,egress,any,internet,,,GB,0.008388608,,100,EUR,2026-01-01,contract
EOF_PRICES
first=1.8388608   # 2 * 0.5 + 0.008388608 * 100
second=2.6777216  # 2 * 0.5 + 0.016777216 * 100
# Power is dear for two hours, and then one is paid for taking it.
python3 - >power.csv <<'EOF_POWER'
import datetime
now = datetime.datetime.now(datetime.timezone.utc)
at = lambda hours: (now + datetime.timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
print("tariff,zone,window,start,end,price,currency,effective,source")
print(f"home,,,{at(-1)},{at(2)},300,EUR,,contract\nhome,,,{at(2)},{at(96)},-50,EUR,,contract")
EOF_POWER
job() {  # NAME KEYS
    printf '[jobs.%s]\nsource = "%s"\nvolume = "%s"\n%s\n' "$1" "$scratch/disk.raw" "$1" "$2"
}
often='every = "OnCalendar=*-*-* *:*:0/2"'
budget() { echo "cost = {from = \"own:$1/std\", budget = {amount = \"1.9\", on_exceed = \"$1\"}}"; }
{
    printf '[prices]\nfiles = ["%s"]\n[zones.DE]\ntariff_file = "%s"\n' "$scratch/prices.csv" "$scratch/power.csv"
    job defers "$often
rpo = \"24h\"
$(budget defer-within-rpo)"
    job stops "$often
$(budget stop)"
    job warns "$often
$(budget warn)"
    job calls "$often
cost = {from = \"own:calls/std\"}
limits = {api_calls = {per_month = 2}}"
    job cheap "every = {between = \"1s..20h\"}
rpo = \"24h\"
carbon = {weight = 0, source_zone = \"DE\"}
cost = {weight = 1, from = \"own:cheap/std\"}"
    job slow "limits = {bandwidth = [{rate = \"4MiB/s\"}]}
cost = {from = \"own:slow/std\"}"
    job killed "limits = {bandwidth = [{rate = \"2MiB/s\"}]}
pre = {run = [\"/bin/sh\", \"-c\", \"while [ -e $scratch/hold ]; do sleep 0.1; done\"]}
cost = {from = \"own:killed/std\"}"
    job hooked "pre = {run = [\"/bin/sh\", \"-c\", \"sleep 1; false\"]}
carbon = {source_zone = \"DE\"}"
} >hyperd.toml
serve_hyperd hyperd.toml

runs() { ask_hyperd GET "/v1/jobs/$1/runs" >/dev/null; }
decided() { ask_hyperd GET "/v1/plan?job=$1" >/dev/null; }
# Of the answer: json EXPRESSION, in which `a` is it.
json() { python3 -c "import json, sys; a = json.load(open('answer')); print($1)" || die "$(cat answer)"; }
ran() { runs "$1" && [ "$(json "sum(run['phase'] == 'success' for run in a['runs'])")" -ge "$2" ]; }
waits_for_budget() { decided "$1" && [ "$(json "a['decisions'][0]['cause']")" = budget ]; }

claim "a run is charged for what it moved, after what the month has seen"
eventually ran warns 2 || die "$(cat answer)"
[ "$(json "[run['money'] + ' ' + run['currency'] for run in reversed(a['runs']) if run['phase'] == 'success'][:2]")" = "['$first EUR', '$second EUR']" ] || die "$(cat answer)"

claim "a run that ends within the second in which it is due runs once"
[ "$(json "max(len(run['stretches']) for run in a['runs'])")" = 1 ] || die "$(cat answer)"

claim "what is stopped is charged for what it had read, and when it goes on for what it reads then"
"$hyperctl" job run slow >/dev/null
moves() { ask_hyperd GET /v1/jobs/slow >/dev/null && [ "$(json "a['progress'] and a['progress']['done_bytes'] > 2 << 20")" = True ]; }
eventually moves || die "$(cat answer)"
"$hyperctl" job pause slow >/dev/null
phase_is() { runs "$1" && [ "$(json "a['runs'][0]['phase']")" = "$2" ]; }
eventually phase_is slow suspended || die "$(cat answer)"
part=$(json "a['runs'][0]['read_bytes']")
[ "$part" -gt 2097152 ] && [ "$part" -lt 16777216 ] || die "$(cat answer)"
# The run's money is for each attempt's requests, and for what they sent together.
is_charged() {  # BYTES OF MORE ATTEMPTS
    python3 - "$part" "$@" <<'EOF_CHECK' || die "$(cat answer)"
import json, sys
from decimal import Decimal
run = json.load(open("answer"))["runs"][0]
read = [int(bytes) for bytes in sys.argv[1:]]
wanted = sum(-(-bytes // 8388608) for bytes in read) * Decimal("0.5") + max(0, sum(read) - 8388608) * Decimal("1e-7")
assert run["read_bytes"] == sum(read) and Decimal(run["money"] or 0) == wanted, (run["read_bytes"], run["money"], read, wanted)
EOF_CHECK
}
is_charged
"$hyperctl" job resume slow >/dev/null
eventually phase_is slow success || die "$(cat answer)"
is_charged 16777216

claim "what a sync had read when hyperd was killed is charged once, as far as it was noted, and said to be so"
"$hyperctl" job run killed >/dev/null
noted() { grep -soE '"moved-bytes":[0-9]+' "$HYPER_ROOT/scheduler/attempts/killed" | grep -oE '[0-9]+'; }
has_noted() { part=$(noted) && [ "$part" -gt 2097152 ] && [ "$part" -lt 16777216 ]; }
eventually has_noted || die "it noted: $(noted)"
# The next attempt does not get as far as its sync, and is killed, too: of it there is no note.
touch hold
kill -9 "$daemon"; wait "$daemon" 2>/dev/null || :
part=$(noted)
serve_hyperd hyperd.toml
eventually phase_is killed running || die "$(cat answer)"
is_charged
json "a['runs'][0]['message']" | grep -q "counted is what it had read by .*: $part bytes" || die "$(cat answer)"
kill -9 "$daemon"; wait "$daemon" 2>/dev/null || :
sed -i 's|"2MiB/s"|"1GiB/s"|' hyperd.toml
rm hold
serve_hyperd hyperd.toml
eventually phase_is killed success || die "$(cat answer)"
is_charged 16777216
[ "$(json "a['runs'][0]['noted_bytes']")" = "$part" ] || die "$(cat answer)"

claim "what fails before it reads anything is charged for its power"
"$hyperctl" job run hooked >/dev/null
failed() { runs hooked && [ "$(json "[run['phase'] in ('failed', 'retrying') for run in a['runs']]")" = "[True]" ]; }
eventually failed || die "$(cat answer)"
[ "$(json "float(a['runs'][0]['money'] or 0) > 0 and a['runs'][0]['read_bytes'] == 0")" = True ] || die "$(cat answer)"

claim "a budget that warns lets it run, and says so"
over() { runs warns && [ "$(json "any('over budget: ' in run['why'] and 'of this month\'s 1.9 are spent' in run['why'] for run in a['runs'])")" = True ]; }
eventually over || die "$(cat answer)"

claim "a budget that defers waits, and not beyond the recovery point objective"
eventually ran defers 1 && eventually waits_for_budget defers || die "$(cat answer)"
python3 - $first <<'EOF_CHECK' || die "$(cat answer)"
import datetime, json, sys
decision = json.load(open("answer"))["decisions"][0]
assert f"{sys.argv[1]} EUR of this month's 1.9 are spent" in decision["why"], decision["why"]
at = datetime.datetime.fromisoformat(decision["at"].replace("Z", "+00:00"))
now = datetime.datetime.now(datetime.timezone.utc)
assert now < at < now + datetime.timedelta(hours=24), decision
EOF_CHECK

claim "a budget that stops waits for the next month"
eventually ran stops 1 && eventually waits_for_budget stops || die "$(cat answer)"
[ "$(json "a['decisions'][0]['at']")" = "$(date -u -d "$(date -u +%Y-%m-01) next month" +%Y-%m-01T00:00:00Z)" ] || die "$(cat answer)"

claim "that a budget is exceeded is told once"
told_once() {
    curl -s -m 2 --unix-socket "$api" -H 'Last-Event-ID: 0' http://localhost/events >events || :
    for name in defers stops warns; do
        [ "$(grep -c "\"kind\":\"budget.exceeded\",\"job\":\"$name\"" events)" = 1 ] || die "$(grep budget events)"
    done
}
told_once

claim "the month's requests are counted"
eventually ran calls 1 && eventually waits_for_budget calls || die "$(cat answer)"
json "a['decisions'][0]['why']" | grep -q '^2 of 2 requests of this month are used up' || die "$(cat answer)"

claim "money decides when it is said to: a job waits for cheaper power, and its plan shows what either costs"
decided cheap
python3 - $first <<'EOF_CHECK' || die "$(cat answer)"
import json, sys
from decimal import Decimal
decision = json.load(open("answer"))["decisions"][0]
assert (decision["action"], decision["cause"]) == ("wait", "planned"), decision
money = {one["what"]: Decimal(one["money"]) for one in decision["alternatives"]}
assert money["planned"] < Decimal(sys.argv[1]) < money["now"], money
assert all(one["currency"] == "EUR" for one in decision["alternatives"])
EOF_CHECK

claim "hyperctl plan --explain tells the same money from the same files"
"$hyperctl" plan hyperd.toml --state "$HYPER_ROOT/scheduler" --explain >plan.txt
grep -A9 '^cheap: wait at' plan.txt | grep -qE '^    now: .*, 1\.8[0-9]+ EUR$' || die "$(cat plan.txt)"
grep -A9 '^cheap: wait at' plan.txt | grep -qE '^    planned: .*, 1\.8[0-9]+ EUR$' || die "$(cat plan.txt)"
grep -A9 '^stops: wait at' plan.txt | grep -q "$first EUR of this month's 1.9 are spent" || die "$(cat plan.txt)"

claim "an estimate over the API is that of hyperctl, and so is a comparison"
"$hyperctl" cost estimate --prices prices.csv --from own:x/std --changed 100M --every 24h --day 2026-11-23 --json >estimate.json
[ "$(ask_hyperd POST /v1/cost/estimate '{"from": "own:x/std", "changed_bytes": 104857600, "every": "24h", "day": "2026-11-23"}')" = 200 ] || die "$(cat answer)"
python3 -c 'import json; a = json.load(open("answer")); assert a["totals"]["EUR"] and a == json.loads(open("estimate.json").read().replace("price-of", "price_of").replace("counted-in", "counted_in")), a' || die "$(cat estimate.json answer)"
"$hyperctl" cost compare --prices prices.csv --from aws:us-east-1 --changed 10G --disk 500G --every 24h --keep last=7 --day 2026-11-23 --json >compare.json 2>compare.err || [ $? = 3 ] || die "$(cat compare.err)"
[ "$(ask_hyperd POST /v1/cost/compare '{"from": "aws:us-east-1", "changed_bytes": 10737418240, "disk_bytes": 536870912000, "every": "24h", "keep": "last=7", "day": "2026-11-23"}')" = 200 ] || die "$(cat answer)"
python3 -c 'import json; a = json.load(open("answer")); assert len(a["targets"]) > 4 and a == json.loads(open("compare.json").read().replace("price-of", "price_of").replace("counted-in", "counted_in").replace("not-priced", "not_priced")), a' || die "they differ"

claim "without a price there is no estimate over the API either, and a wrong question is refused with its key"
[ "$(ask_hyperd POST /v1/cost/estimate '{"from": "own:x/cold", "changed_bytes": 1}')" = 422 ] && grep -q 'no price of own/object/requests/x/cold-get' answer || die "$(cat answer)"
[ "$(ask_hyperd POST /v1/cost/estimate '{"changed": 1}')" = 422 ] && grep -q 'unknown key changed; did you mean changed_bytes?' answer || die "$(cat answer)"
[ "$(ask_hyperd POST /v1/cost/estimate '{"changed_bytes": 1, "from": "nowhere"}')" = 422 ] && grep -q 'from: .*nowhere.* is no place' answer || die "$(cat answer)"

claim "what is spent is not forgotten when hyperd is killed"
runs defers; json "[(run['period'], run['money']) for run in a['runs'] if run['phase'] == 'success']" >before
kill -9 "$daemon"; wait "$daemon" 2>/dev/null || :
serve_hyperd hyperd.toml
for name in defers stops calls; do
    eventually waits_for_budget $name || die "$(cat answer)"
done
decided defers; json "a['decisions'][0]['why']" | grep -q "^$first EUR of this month's 1.9 are spent" || die "$(cat answer)"
runs defers; json "[(run['period'], run['money']) for run in a['runs'] if run['phase'] == 'success']" | cmp - before || die "the ledger has changed"

claim "nor that a budget was told to be exceeded"
# What it decides first is written with the events of it.
"$hyperctl" job run cheap >/dev/null
eventually ran cheap 1 || die "$(cat answer)"
told_once

claim "a price file that is wrong is refused with line and field, and the old prices stay"
cp prices.csv good.csv
sed -i 's/request,0,,0.5,/request,0,,half,/' prices.csv
"$hyperd" --check-config --config hyperd.toml 2>said.err && die "a wrong one is good"
grep -q '\[prices\] files: price file .*prices.csv: line 3: price: "half" is no amount (try ' said.err || die "$(cat said.err)"
kill -HUP "$daemon"
eventually grep -q 'stays as it was: \[prices\] files: ' hyperd.log || die "not said"
[ "$(ask_hyperd POST /v1/cost/estimate '{"from": "own:x/std", "changed_bytes": 8388608}')" = 200 ] && grep -q '"EUR": "0.5"' answer || die "$(cat answer)"
sed 's/,0.5,EUR/,0.75,EUR/' good.csv >prices.csv
kill -HUP "$daemon"
dearer() { ask_hyperd POST /v1/cost/estimate '{"from": "own:x/std", "changed_bytes": 8388608}' >/dev/null; grep -q '"EUR": "0.75"' answer; }
eventually dearer || die "$(cat answer)"
sed -i 's/,300,EUR/,300,pounds and pence,EUR/' power.csv
"$hyperd" --check-config --config hyperd.toml 2>said.err && die "a wrong tariff is good"
grep -q '\[zones.DE\] tariff_file .*power.csv: line 2: ' said.err || die "$(cat said.err)"

claim "a job of which no price is known says so"
cp good.csv prices.csv
"$hyperctl" job add elsewhere "$scratch/disk.raw" elsewhere --from <(echo '{"cost": {"from": "aws:us-east-1"}, "rpo": "1h"}') >/dev/null
said() { decided elsewhere && grep -q 'what a sync costs besides power is not known: its prices are in USD and its money is in EUR; cost.currency' answer; }
eventually said || die "$(cat answer)"

claim "prices, tariffs and tokens that cannot be read keep hyperd from nothing but counting"
kill -9 "$daemon"; wait "$daemon" 2>/dev/null || :
: >prices.csv
printf '[feeds.maps]\nkind = "electricitymaps"\ntoken_file = "%s"\n' "$scratch/none.token" >>hyperd.toml
serve_hyperd hyperd.toml
grep -q 'prices.csv.*; only the built-in prices count until this is mended' hyperd.log || die "not said: $(cat hyperd.log)"
started=$(date -u +%FT%TZ)
runs_again() { runs warns && [ "$(json "any(run['phase'] == 'success' and run['started_at'] > '$started' for run in a['runs'])")" = True ]; }
eventually runs_again || die "$(cat answer)"
