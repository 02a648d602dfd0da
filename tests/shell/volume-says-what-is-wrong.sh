#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need python3 qemu-img nbdinfo

export HYPER_ROOT=$scratch/root
json() { python3 -c 'import json, sys; told = json.load(sys.stdin); print('"$1"')'; }
verdict() { status=0; "$hyperctl" volume verify "$@" >verify.log 2>&1 || status=$?; }

head -c 8M /dev/urandom >1.raw
cp 1.raw 2.raw
head -c 1M /dev/urandom | dd of=2.raw bs=1M seek=2 conv=notrunc status=none
"$hyperctl" volume create web01 --no-compress
for n in 1 2; do "$hyperctl" sync $n.raw web01 >/dev/null; done
cp -a "$HYPER_ROOT/volumes/web01.volume" good.volume
volume=$HYPER_ROOT/volumes/web01.volume
again() { rm -rf "$volume"; cp -a good.volume "$volume"; }

claim "verify of what is well says good"
verdict web01 --all
[ $status = 0 ] && [ "$(grep -c ' good *good$' verify.log)" = 2 ] || die "$status: $(cat verify.log)"
verdict web01@1 --sample 50 --json
[ $status = 0 ] && [ "$(json '1 << 20 < told[0]["bytes"] < 7 << 20, told[0]["verdict"], "root" in told[0]' <verify.log)" = "True good False" ] ||
    die "$status: $(cat verify.log)"

claim "a wrong byte in a data file: verify says corrupt and where, reading it is an error, and the rest is read"
python3 - "$volume/data/00000001" <<'END'
import sys
disk, file = open("1.raw", "rb").read(), open(sys.argv[1], "r+b")
stored = file.read()
at = stored.index(disk[5 << 20:(5 << 20) + 4096])
file.seek(at + 1000)
file.write(bytes([stored[at + 1000] ^ 1]))
END
verdict web01 --all
[ $status = 2 ] || die "$status: $(cat verify.log)"
for n in 1 2; do
    grep -q "^generation $n: bytes 5242880 to 5308415 (64 KiB): corrupt: " verify.log || die "generation $n: $(cat verify.log)"
done
"$hyperctl" compare web01@1 1.raw >/dev/null 2>error && die "a wrong byte was read"
grep -q 'hyperctl: .*data/00000001' error || die "$(cat error)"
serve_hypernbd "$HYPER_ROOT/volumes"
qemu-io -r -f raw -c 'read 5M 4k' "$(uri web01@2)" >said 2>&1 && die "a wrong byte was read over NBD"
grep -q 'Input/output error' said || die "$(cat said)"
qemu-io -r -f raw -c 'read 6M 2M' "$(uri web01@2)" | grep -q 'read 2097152/2097152' || die "the rest is not read"
ends_well

claim "repair names what is lost, which reads as an error, and the next sync stores it anew"
status=0
"$hyperctl" volume repair web01 >repair.log || status=$?
[ $status = 2 ] || die "$status: $(cat repair.log)"
for n in 1 2; do
    grep -q "^generation $n: bytes 5242880 to 5308415 (64 KiB): corrupt: " repair.log || die "generation $n: $(cat repair.log)"
done
"$hyperctl" compare web01@2 2.raw >/dev/null 2>&1 && die "a lost block was read"
"$hyperctl" sync 2.raw web01 >/dev/null
verdict web01@latest
[ $status = 0 ] || die "$status: $(cat verify.log)"
"$hyperctl" compare web01 2.raw >/dev/null || die "it differs"
verdict web01@1
[ $status = 2 ] || die "$status: $(cat verify.log)"

claim "a truncated data file: verify says corrupt and where"
again
truncate -s 5M "$volume/data/00000001"
verdict web01@1
[ $status = 2 ] && grep -q '^generation 1: bytes [0-9]* to 8388607 .*: corrupt: ' verify.log || die "$status: $(cat verify.log)"

claim "a data file that cannot be read: verify could not tell"
again
mv "$volume/data/00000001" away
ln -s 00000001 "$volume/data/00000001"
verdict web01@1
[ $status = 3 ] && grep -q 'could not tell' verify.log || die "$status: $(cat verify.log)"

claim "a deleted index: the error names repair"
again
rm -r "$volume/index"
for command in "volume log web01" "volume verify web01" "compare web01 1.raw" "sync 2.raw web01"; do
    "$hyperctl" $command >said 2>error && die "$command went well"
    grep -q 'hyperctl volume repair' error || die "$command: $(cat error)"
done
[ ! -e "$volume/index/CURRENT" ] || die "an empty index was made"
"$hyperctl" volume list >said 2>error && die "list went well"
grep -q '^web01 ' said && grep -q 'web01: cannot be opened' error || die "$(cat said error)"

claim "repair makes the index anew, and nothing is lost"
"$hyperctl" volume repair web01 --json >repair.json || die "repair says $?: $(cat repair.json)"
[ "$(json 'told["index-rebuilt"], told["all-good"], told["generations"]' <repair.json)" = "True True 2" ] || die "$(cat repair.json)"
for n in 1 2; do "$hyperctl" compare web01@$n $n.raw >/dev/null || die "generation $n differs"; done
verdict web01 --all
[ $status = 0 ] || die "$status: $(cat verify.log)"
"$hyperctl" sync 1.raw web01 --json >sync.json
[ "$(json 'told["generation"], told["different-bytes"], told["root"]' <sync.json)" = "3 1048576 $("$hyperctl" root 1.raw)" ] || die "$(cat sync.json)"

claim "an older copy of the index is noticed"
again
cp -a "$volume/index" old-index
"$hyperctl" sync 1.raw web01 >/dev/null
rm -r "$volume/index"
cp -a old-index "$volume/index"
"$hyperctl" volume log web01 2>error && die "log went well"
grep -q 'generation 3 was committed, but the index knows of 2' error || die "$(cat error)"
"$hyperctl" sync 1.raw web01 2>error && die "sync went well"
grep -q 'generation 3 was committed, but the index knows of 2' error || die "$(cat error)"
"$hyperctl" volume repair web01 >repair.log || die "repair says $?: $(cat repair.log)"
"$hyperctl" compare web01@3 1.raw >/dev/null || die "generation 3 differs"
