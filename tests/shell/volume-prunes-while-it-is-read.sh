#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need python3 nbdinfo
/usr/bin/python3 -c 'import nbd' 2>/dev/null || skip "Python's libnbd module is missing"

export HYPER_ROOT=$scratch/root
json() { python3 -c 'import json, sys; told = json.load(sys.stdin); print('"$1"')'; }
on_disk() { du -s --block-size=1 "$HYPER_ROOT/volumes/web01.volume/data" | cut -f1; }
numbers() { "$hyperctl" volume log web01 --json | json '" ".join(str(g["generation"]) for g in told)'; }

for n in 1 2 3 4; do
    head -c 16M /dev/urandom >$n.raw
    head -c 4M 1.raw | dd of=$n.raw bs=4M conv=notrunc status=none
    "$hyperctl" sync $n.raw web01 --create >/dev/null
done

claim "prune frees space while readers of kept generations read on, and readers of pruned ones get an error"
serve_hypernbd "$HYPER_ROOT/volumes"
cat >read.py <<'END'
import subprocess, sys
import nbd

def opened(name):
    handle = nbd.NBD()
    handle.connect_uri(sys.argv[1].replace("NAME", name))
    return handle

wanted = {n: open(f"{n}.raw", "rb").read() for n in (1, 2, 3)}
readers = {n: opened(f"web01@{n}") for n in (1, 2, 3)}
for n, reader in readers.items():
    assert reader.pread(1 << 20, 6 << 20) == wanted[n][6 << 20:7 << 20], n
subprocess.run(sys.argv[2:], check=True)
for n in (1, 3):
    for at in range(0, 16 << 20, 1 << 20):
        assert readers[n].pread(1 << 20, at) == wanted[n][at:at + (1 << 20)], (n, at)
for at in (6 << 20, 8 << 20):
    try:
        readers[2].pread(1 << 20, at)
    except nbd.Error as error:
        assert error.errno in ("EIO", "ESTALE"), error.errno
    else:
        raise AssertionError(f"generation 2 is still read at {at}")
END
before=$(on_disk)
/usr/bin/python3 read.py "nbd+unix:///NAME?socket=$socket" "$hyperctl" volume prune web01@2 >prune.log || die "$(cat prune.log)"
freed=$((before - $(on_disk)))
[ $freed -gt $((11 << 20)) ] && [ $freed -lt $((13 << 20)) ] || die "$freed bytes were freed, of 12 MiB"
grep -q '1 of 4 generations pruned, 1[12].* MiB freed' prune.log || die "$(cat prune.log)"
grep -q 'generation 2 was pruned' "$scratch/nbd0.log" || die "the log does not say why: $(cat "$scratch/nbd0.log")"
nbdinfo "$(uri web01@2)" >/dev/null 2>&1 && die "web01@2 can still be opened"
[ "$(numbers)" = "1 3 4" ] || die "there is $(numbers)"
"$hyperctl" info web01@2 2>error && die "web01@2 is still there"
grep -q 'no generation 2, or not any more' error || die "$(cat error)"
"$hyperctl" volume verify web01 --all >/dev/null || die "verify says $?"
[ "$("$hyperctl" volume diff web01 1 3 --json | json 'told["bytes"]')" = $((12 << 20)) ] || die "what changed is not known any more"

claim "the newest and pinned generations stay"
"$hyperctl" volume pin web01@1
"$hyperctl" volume prune web01@1 2>error && die "a pinned generation was pruned"
grep -q 'generation 1 is pinned' error || die "$(cat error)"
"$hyperctl" volume prune web01@3 web01@4 2>error && die "the newest was pruned"
grep -q 'generation 4 is the newest' error || die "$(cat error)"
[ "$(numbers)" = "1 3 4" ] || die "$(numbers): something was pruned although not all could be"

claim "rules keep what they say, and --dry-run only tells"
"$hyperctl" volume prune web01 --keep last=1 --dry-run --json >dry.json
[ "$(json '[(g["generation"], g["stays"], g["why"]) for g in told["generations"]]' <dry.json)" = \
    "[(1, True, 'pinned'), (3, False, ''), (4, True, 'newest, last')]" ] || die "$(cat dry.json)"
[ "$(numbers)" = "1 3 4" ] || die "--dry-run pruned"
"$hyperctl" volume prune web01 --keep last=1 >/dev/null
[ "$(numbers)" = "1 4" ] || die "$(numbers)"
"$hyperctl" volume unpin web01@1
"$hyperctl" volume prune web01 --keep daily=1 >/dev/null
[ "$(numbers)" = "4" ] || die "$(numbers)"
"$hyperctl" compare web01 4.raw >/dev/null || die "what is left differs"
for wrong in "web01" "web01@4 --keep last=1" "web01 --keep last=0" "web01 --keep sometimes=3" "web01@9"; do
    "$hyperctl" volume prune $wrong 2>error && die "prune $wrong went well"
    grep -q '^hyperctl: ' error || die "prune $wrong: $(cat error)"
done
ends_well
