#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need python3 qemu-img

unset HYPER_ROOT
json() { python3 -c 'import json, sys; told = json.load(sys.stdin); print('"$1"')'; }
refused() {  # MESSAGE ARGUMENT...
    local message=$1 status=0
    shift
    "$hyperctl" "$@" >said 2>error || status=$?
    [ $status = 1 ] || die "$*: status $status: $(cat said error)"
    grep -q "^hyperctl: .*$message" error || die "$*: no such message: $(cat error)"
}

head -c 4M /dev/urandom >1.raw
cp 1.raw 2.raw
printf hello | dd of=2.raw bs=64K seek=9 conv=notrunc status=none

claim "a volume is named by its path, or by its name below --root or HYPER_ROOT"
mkdir here
"$hyperctl" volume create here/a.volume
"$hyperctl" volume create b --root root
HYPER_ROOT=root "$hyperctl" volume create c
[ -f here/a.volume/volume ] && [ -f root/volumes/b.volume/volume ] && [ -f root/volumes/c.volume/volume ] || die "$(find here root)"
"$hyperctl" sync 1.raw b --root root >/dev/null
HYPER_ROOT=root "$hyperctl" compare b@1 1.raw >/dev/null || die "b differs"
"$hyperctl" compare root/volumes/b.volume 1.raw >/dev/null || die "b by its path differs"
[ "$("$hyperctl" volume list --root root --json | json '[(v["name"], v["generations"]) for v in told]')" = "[('b', 1), ('c', 0)]" ] || die "list"
[ -z "$("$hyperctl" volume list --root nowhere | tail -n +2)" ] || die "there are volumes nowhere"

claim "what is no volume is told from what is not there"
refused 'there is no volume nowhere.volume (hyperctl volume create' volume log nowhere.volume
refused 'there is no volume .*--create makes it' sync 1.raw nowhere.volume
mkdir empty.volume
refused 'is no volume' volume log empty.volume
refused 'ends in ".volume"' volume create here/x
refused 'cannot be a volume' volume create .x --root root
refused 'power of two' volume create x --root root --block-size 3000
refused 'power of two' volume create x --root root --block-size 8M
refused 'from 64M' volume create x --root root --data-file-size 1M
refused 'exists' volume create b --root root
refused 'leave out the "@1"' volume log b@1 --root root
refused 'hyperctl volume verify checks it' check b --root root
refused 'no generation yet' info c --root root
[ -z "$(find . -name '*.new')" ] || die "left behind: $(find . -name '*.new')"

claim "a rollback adds a generation with the content of an old one, and the next sync compares everything"
"$hyperctl" sync 2.raw b --root root >/dev/null
truncate -s 6M 2.raw
head -c 1M /dev/urandom | dd of=2.raw bs=1M seek=5 conv=notrunc status=none
"$hyperctl" sync 2.raw b --root root >/dev/null
"$hyperctl" volume rollback b@1 --root root | grep -q ', 0 B stored$' || die "blocks of generation 1 were stored again"
"$hyperctl" compare b@4 1.raw --strict --root root >/dev/null || die "the rollback differs"
"$hyperctl" compare b@3 2.raw --strict --root root >/dev/null || die "generation 3 differs"
[ "$("$hyperctl" root b --root root)" = "$("$hyperctl" root 1.raw)" ] || die "the root is another"
"$hyperctl" volume verify b --all --root root >/dev/null || die "verify says $?"
"$hyperctl" sync root/volumes/b.volume@3 b2 --create --root root >/dev/null
"$hyperctl" volume rollback b2@1 --root root 2>error && die "rolled back to the newest"
grep -q 'nothing to roll back' error || die "$(cat error)"
"$hyperctl" sync b@4 b2 --root root >sync.log
"$hyperctl" compare b2 1.raw --strict --root root >/dev/null || die "the copy of the rollback differs"

claim "a clone has the content and the options of the generation that it is of"
"$hyperctl" volume create small --root root --block-size 16K --no-compress
"$hyperctl" sync 1.raw small --root root >/dev/null
"$hyperctl" sync 2.raw small --root root >/dev/null
"$hyperctl" volume clone small@1 twin --root root >/dev/null
"$hyperctl" compare twin 1.raw --strict --root root >/dev/null || die "the clone differs"
"$hyperctl" info twin --root root | grep -q 'block size: *16384' || die "its blocks are of another size"
refused 'exists' volume clone small twin --root root
"$hyperctl" sync 1.raw small --root root --full >/dev/null
"$hyperctl" volume prune small@2 --root root >/dev/null
"$hyperctl" sync small twin --root root --json | json 'told["compared-all"]' >said
[ "$(cat said)" = False ] || die "a clone does not know what it is of"

claim "a volume with generations is deleted only by --force, and as a whole"
refused 'has 2 generations; --force' volume delete twin --root root
"$hyperctl" compare twin@1 1.raw --root root >/dev/null || die "it is half gone"
"$hyperctl" volume delete twin --root root --force
"$hyperctl" volume delete c --root root
[ "$(ls -A root/volumes)" = "$(printf 'b.volume\nb2.volume\nsmall.volume')" ] || die "left: $(ls -A root/volumes)"
refused 'there is no volume' volume delete c --root root
mkdir root/volumes/.c.volume.0.deleted
"$hyperctl" volume delete c --root root || die "what was half deleted is not removed"
[ ! -e root/volumes/.c.volume.0.deleted ] || die "it is still there"
rm -r root/volumes/b2.volume/index
refused 'repair' volume delete b2 --root root
"$hyperctl" volume delete b2 --root root --force || die "a damaged volume cannot be deleted"
[ ! -e root/volumes/b2.volume ] || die "it is still there"
