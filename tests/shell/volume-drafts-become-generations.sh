#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need qemu-io python3 nbdinfo

export HYPER_ROOT=$scratch/root
head -c 4M /dev/urandom >1.raw
cp 1.raw 2.raw
qemu-io -f raw -c 'write -P 7 1M 100k' -c 'write -z 3M 512k' 2.raw >/dev/null
"$hyperctl" sync 1.raw web01 --create >/dev/null
refused() {  # MESSAGE ARGUMENT...
    local message=$1
    shift
    "$hyperctl" "$@" >said 2>error && die "$* went well"
    grep -q "$message" error || die "$*: $(cat error)"
}
write() {
    serve_hypernbd --rw "$HYPER_ROOT/volumes"
    qemu-io -f raw -c 'write -P 7 1M 100k' -c 'write -z 3M 512k' -c flush "$(uri web01)" >/dev/null
    ends_well
}

claim "what was written is a draft, which takes no sync and no rollback, until it is committed"
refused 'has no draft' volume commit web01
refused 'has no draft' volume discard web01
write
"$hyperctl" compare web01@1 1.raw >/dev/null || die "generation 1 was written to"
refused 'has a draft' sync 1.raw web01
refused 'has a draft' volume rollback web01@1
"$hyperctl" volume commit web01 >/dev/null
"$hyperctl" compare web01@2 2.raw >/dev/null || die "generation 2 differs"
[ "$("$hyperctl" root web01@2)" = "$("$hyperctl" root 2.raw)" ] || die "its root is another"
"$hyperctl" volume verify web01 --all >/dev/null || die "verify says $?"
refused 'has no draft' volume commit web01

claim "a draft to which nothing was written goes away, by commit and by sync"
open_only() {
    serve_hypernbd --rw "$HYPER_ROOT/volumes"
    qemu-io -f raw -c 'read 0 4k' "$(uri web01)" >/dev/null
    ends_well
    [ -e "$HYPER_ROOT/volumes/web01.volume/draft/map" ] || die "no draft was begun"
}
open_only
"$hyperctl" volume commit web01 | grep -q '^nothing was written' || die "commit does not say that nothing was written"
refused 'has no draft' volume commit web01
open_only
[ "$("$hyperctl" volume commit web01 --json | python3 -c 'import json, sys; print(json.load(sys.stdin))')" = "{'generation': None}" ] ||
    die "commit --json says something else"
"$hyperctl" volume log web01 --json | python3 -c 'import json, sys; assert len(json.load(sys.stdin)) == 2' || die "there is another generation"
open_only
"$hyperctl" sync 2.raw web01 >/dev/null || die "it takes no sync"

claim "a draft that is discarded is gone, even if it is damaged"
for damage in false true; do
    write
    $damage && truncate -s 100 "$HYPER_ROOT/volumes/web01.volume/draft/map"
    "$hyperctl" volume discard web01
    refused 'has no draft' volume commit web01
done
"$hyperctl" compare web01 2.raw >/dev/null || die "the newest generation differs"
"$hyperctl" sync 1.raw web01 >/dev/null
