#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need python3

feeds=$SRC/tests/cost/seeds
cost() { "$hyperctl" cost "$@"; }
# What a JSON answer has at a place: field EXPRESSION <JSON
field() { python3 -c "import json, sys; answer = json.load(sys.stdin); print($1)"; }

claim "an estimate shows each line with its price, day and source, and their sum"
cost estimate --from aws:us-east-1 --to gcp:us-central1/standard --changed 100G --day 2026-11-23 >estimate.txt
grep -q '^total: 1.342099016 USD$' estimate.txt || die "$(cat estimate.txt)"
grep -q 'get blocks of 512 KiB .* 204.8 .*1k requests .* 0.003 .* 0.6144 .* USD .* 2026-11-01 .*ebsapi-pricing' estimate.txt || die "$(cat estimate.txt)"
cost estimate --from aws:us-east-1 --to gcp:us-central1/standard --changed 100G --day 2026-11-23 --json >estimate.json
[ "$(field 'answer["totals"]["USD"]' <estimate.json)" = 1.342099016 ] || die "$(cat estimate.json)"
[ "$(field 'sum(round(float(line["amount"]) * 1e9) for line in answer["lines"])' <estimate.json)" = 1342099016 ] || die "the lines are not the total"

claim "a month of syncs and what is kept of them are priced together"
# 31 syncs of 10 GiB, 332.86 GB: 232.86 of them at 0.09, and requests
cost estimate --from aws:us-east-1 --changed 10G --every 24h --day 2026-11-23 --json >month.json
[ "$(field 'answer["totals"]["USD"]' <month.json)" = 22.86209269 ] || die "$(cat month.json)"
# 7 generations of 100 GiB and 1 GiB of change: 106 GiB * 0.0125, and what goes after 7 of 30 days: 730/24 * 552/730 * 0.0125
cost estimate --to aws:us-east-1/ia --disk 100G --sent 1G --every 24h --keep last=7 --day 2026-11-23 --json >keep.json
[ "$(field '[line["amount"] for line in answer["lines"]]' <keep.json)" = "['1.325', '0.2875']" ] || die "$(cat keep.json)"

claim "without a price there is no estimate, and it says which one is missing"
cost estimate --to oci:us-ashburn-1/standard --changed 1G --day 2026-11-23 >none.txt 2>error.txt && die "it was priced"
[ ! -s none.txt ] || die "something was printed: $(cat none.txt)"
grep -q 'no price of oci/object/requests/us-ashburn-1/standard-put on 2026-11-23 (import a price file)' error.txt || die "$(cat error.txt)"
cost estimate --to aws:us-east-1/standard --changed 1G --day 2020-01-01 2>error.txt && die "it was priced before there were prices"
cost estimate 2>error.txt && die "nothing was asked"
grep -q 'what is to be priced?' error.txt || die "$(cat error.txt)"

claim "a comparison puts the cheapest first, and names what cannot be compared"
status=0
cost compare --from aws:us-east-1 --changed 10G --disk 500G --every 24h --keep last=7,weekly=4 --day 2026-11-23 --json >compare.json 2>compare.err || status=$?
[ $status = 3 ] || die "it ended with $status: $(cat compare.err)"
field '"\n".join(target["totals"]["USD"] for target in answer["targets"])' <compare.json >totals.txt
[ "$(wc -l <totals.txt)" -ge 5 ] && sort -g -c totals.txt || die "$(cat totals.txt)"
grep -q 'oci:any/standard is not compared: no price of' compare.err || die "$(cat compare.err)"
cost compare --to aws:us-east-1/standard --to gcp:us-central1/standard --changed 1G --day 2026-11-23 >compare.txt
grep -q '^aws:us-east-1/standard' compare.txt || die "$(cat compare.txt)"

claim "feeds of all vendors become price files that count before the built-in ones"
status=0
cost import aws "$feeds/aws-ec2.json" "$feeds/aws-s3.json" "$feeds/aws-transfer.json" >aws.csv 2>aws.err || status=$?
[ $status = 3 ] || die "it ended with $status: $(cat aws.err)"
grep -q 'left out APS1-EBS:directAPI.snapshot.Put (PUTB): .*unit "Fortnights" is not known' aws.err || die "$(cat aws.err)"
grep -q '15 prices; left out 2 that are not understood, and 3 of products' aws.err || die "$(cat aws.err)"
cost estimate --from aws:ap-southeast-1 --changed 1G --day 2026-11-23 2>error.txt && die "there is a price without the file"
# 2048 blocks at 0.000003, a page, and 1.073741824 * 0.12
[ "$(cost estimate --prices aws.csv --from aws:ap-southeast-1 --changed 1G --day 2026-11-23 --json | field 'answer["totals"]["USD"]')" = 0.134993619 ] || die "another total"
for vendor in azure gcp oci; do
    status=0
    cost import $vendor "$feeds/$vendor.json" >$vendor.csv 2>$vendor.err || status=$?
    [ $status = 3 ] || die "$vendor ended with $status: $(cat $vendor.err)"
    cost estimate --prices $vendor.csv --to aws:us-east-1/standard --changed 1G --day 2026-11-23 >all.txt || die "$vendor.csv cannot be read"
done
cost estimate --prices oci.csv --to oci:us-ashburn-1/standard --changed 1G --day 2026-11-23 >oci.txt || die "requests to OCI have no price now"

claim "prices of electricity become a power file"
cost import octopus --tariff agile "$feeds/octopus.json" >power.csv 2>power.err
grep -q '^agile,,,2026-11-23T16:30:00Z,2026-11-23T17:00:00Z,-0.030975,GBP,,Octopus Energy API$' power.csv || die "$(cat power.csv)"
cost import energy-charts "$feeds/energy-charts.json" >power.csv 2>power.err
grep -q '3 prices, 1 gaps' power.err || die "$(cat power.err)"

claim "a file of another kind, and one that is not there, are named"
cost import azure "$feeds/gcp.json" >none.txt 2>error.txt && die "it was taken"
grep -q 'gcp.json: has no "Items"' error.txt || die "$(cat error.txt)"
cost import aws nowhere.json 2>error.txt && die "it is there"
grep -q 'nowhere.json: no such file or directory' error.txt || die "$(cat error.txt)"
cost import aws "$feeds/oci.json" 2>error.txt && die "it was taken"
printf 'vendor\nx\n' >bad.csv
cost estimate --prices bad.csv --to aws:us-east-1/standard --changed 1G 2>error.txt && die "it was read"
grep -q 'price file bad.csv: ' error.txt || die "$(cat error.txt)"
