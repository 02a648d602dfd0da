#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need python3 cmp

export HYPER_ROOT=$scratch/root
json() { python3 -c 'import json, sys; told = json.load(sys.stdin); print('"$1"')'; }
stored() { cat "$HYPER_ROOT/volumes/$1.volume/data/"* 2>/dev/null | wc -c; }
stored_more() { [ "$(stored "$1")" -gt "$2" ]; }

head -c 96M /dev/urandom >disk.raw
"$hyperctl" sync disk.raw source --create >/dev/null
root=$("$hyperctl" root disk.raw)
interrupt() {  # SIGNAL VOLUME ARGUMENT...: a slow sync is ended once it has stored something; sets $status
    local signal=$1 volume=$2
    shift 2
    "$hyperctl" volume create "$volume" --no-compress
    "$hyperctl" sync "$@" "$volume" --limit-rate 10M >interrupted.log 2>&1 &
    eventually stored_more "$volume" 20000000 || die "nothing was stored: $(cat interrupted.log)"
    kill "-$signal" $!
    status=0
    wait $! 2>/dev/null || status=$?
}

claim "a sync that is interrupted says what it keeps, and the next one goes on there"
interrupt INT stopped source
[ $status = 130 ] || die "it ended with $status"
grep -q 'interrupted; what was stored is kept, and the next sync into stopped goes on there' interrupted.log || die "$(cat interrupted.log)"
[ "$("$hyperctl" volume log stopped --json | json 'told')" = "[]" ] || die "half of a generation is seen"
"$hyperctl" sync source stopped --json >resumed.json
[ "$(json 'told["resumed"], told["looked-at-bytes"] < 80 << 20, told["newly-stored-bytes"] < 80 << 20' <resumed.json)" = "True True True" ] ||
    die "$(cat resumed.json)"
[ "$(json 'told["root"]' <resumed.json)" = "$root" ] || die "the root is another"
cmp <(cat disk.raw) <("$hyperctl" export stopped back.raw && cat back.raw) || die "it differs"

claim "a sync that is killed goes on, too"
interrupt KILL killed source
[ $status = 137 ] || die "it ended with $status: $(cat interrupted.log)"
"$hyperctl" sync source killed --json >resumed.json
[ "$(json 'told["resumed"], told["looked-at-bytes"] < 80 << 20' <resumed.json)" = "True True" ] || die "$(cat resumed.json)"
[ "$(json 'told["root"]' <resumed.json)" = "$root" ] || die "the root is another"
"$hyperctl" volume verify killed >/dev/null || die "verify says $?"

claim "of a source without states what was stored is not stored again, and what changed since counts"
interrupt KILL plain disk.raw
head -c 1M /dev/urandom | dd of=disk.raw bs=1M conv=notrunc status=none
"$hyperctl" sync disk.raw plain --json >resumed.json
[ "$(json 'told["resumed"], told["newly-stored-bytes"] < 80 << 20' <resumed.json)" = "False True" ] || die "$(cat resumed.json)"
[ "$(json 'told["root"]' <resumed.json)" = "$("$hyperctl" root disk.raw)" ] || die "the root is another"
"$hyperctl" compare plain disk.raw >/dev/null || die "it differs"

claim "two writers: the second is told who writes"
"$hyperctl" volume create busy
"$hyperctl" sync source busy --limit-rate 10M >busy.log 2>&1 &
writer=$!
eventually stored_more busy 20000000 || die "nothing was stored: $(cat busy.log)"
for second in "sync source busy" "volume prune busy --keep last=1" "volume delete busy --force"; do
    "$hyperctl" $second 2>error && die "$second: two write at once"
    grep -q "busy.volume: is being written by hyperctl (process $writer)" error || die "$second: $(cat error)"
done
"$hyperctl" volume log busy >/dev/null || die "a volume that is being written cannot be read"
kill -9 $writer
wait $writer 2>/dev/null || true
"$hyperctl" sync source busy >/dev/null || die "the writer's end is not noticed"
