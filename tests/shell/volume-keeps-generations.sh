#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need qemu-img python3 mkfs.ext4 debugfs e2fsck nbdinfo nbdcopy

export HYPER_ROOT=$scratch/root
json() { python3 -c 'import json, sys; told = json.load(sys.stdin); print('"$1"')'; }
change() { debugfs -w -R "$1" disk.raw >debugfs.log 2>&1; }

claim "a sync of each state of a disk adds a generation"
mkdir tree
head -c 3000000 /dev/urandom >tree/noise
seq 200000 >tree/numbers
truncate -s 96M disk.raw
mkfs.ext4 -q -d tree disk.raw
cp --sparse=always disk.raw 1.raw
"$hyperctl" sync disk.raw web01 --create --json >1.json
seq 300000 400000 >more
change "write more more"
cp --sparse=always disk.raw 2.raw
"$hyperctl" sync disk.raw web01 --json >2.json
change "rm noise"
e2fsck -fy -E discard disk.raw >fsck.log 2>&1 || [ $? = 1 ] || die "$(cat fsck.log)"
head -c 500000 /dev/zero | tr '\0' x >xs
change "write xs xs"
cp --sparse=always disk.raw 3.raw
"$hyperctl" sync disk.raw web01 --json >3.json
for n in 1 2 3; do
    [ "$(json 'told["generation"]' <$n.json)" = $n ] || die "generation $n has another number: $(cat $n.json)"
done
volume=$HYPER_ROOT/volumes/web01.volume
[ "$(stat -c %a "$HYPER_ROOT/volumes")" = 700 ] || die "anybody can see the volumes"

claim "a sync tells why it compares everything, and stores only what differs"
json 'told["why-all"]' <1.json | grep -q 'no generation yet' || die "$(cat 1.json)"
json 'told["why-all"]' <2.json | grep -q 'keeps no track' || die "$(cat 2.json)"
[ "$(json '1 << 19 < told["different-bytes"] < 4 << 20 and told["newly-stored-bytes"] < told["different-bytes"]' <2.json)" = True ] ||
    die "$(cat 2.json)"
"$hyperctl" sync disk.raw web01 --full >same.log
grep -q 'everything, since it was asked for' same.log || die "$(cat same.log)"
grep -q '^really different: *0 B' same.log || die "$(cat same.log)"

claim "each generation reads back as the disk was, by path and by name, by number, time and as the latest"
for n in 1 2 3; do
    "$hyperctl" export "$volume@$n" back.raw --force
    cmp $n.raw back.raw || die "generation $n differs"
    "$hyperctl" compare web01@$n $n.raw --strict >/dev/null || die "web01@$n differs"
done
"$hyperctl" compare web01 3.raw >/dev/null || die "the latest is another"
"$hyperctl" compare web01@latest web01@4 >/dev/null || die "the latest is another"
"$hyperctl" compare "web01@$(json 'told["time"]' <3.json)" 3.raw >/dev/null || die "the newest at its time is another"
"$hyperctl" info web01@2 --json | json 'told["format-specific"]["generation"], told["format"]' >info.log
[ "$(cat info.log)" = "2 volume" ] || die "$(cat info.log)"
status=0
"$hyperctl" info web01@9 2>error || status=$?
[ $status = 1 ] && grep -q 'no generation 9.* it has 4 from 1' error || die "status $status: $(cat error)"
"$hyperctl" info web01@2001-01-01 2>error && die "there was a generation in 2001"
grep -q 'no generation as old' error || die "$(cat error)"

claim "the root is that of the raw bytes, for every sync and every block size"
for n in 1 2 3; do
    [ "$(json 'told["root"]' <$n.json)" = "$("$hyperctl" root $n.raw)" ] || die "generation $n has another root"
done
for size in 4K 16K 1M 4M; do
    "$hyperctl" volume create other$size --block-size $size --data-file-size 64M
    for n in 1 3; do "$hyperctl" sync $n.raw other$size --json >other.json; done
    [ "$(json 'told["root"]' <other.json)" = "$(json 'told["root"]' <3.json)" ] || die "blocks of $size give another root"
    "$hyperctl" compare other$size@1 1.raw >/dev/null || die "blocks of $size: generation 1 differs"
done

claim "the volume as raw, qcow2, vmdk, vhd and vhdx has one root"
for format in raw qcow2 vmdk vhd vhdx; do
    "$hyperctl" export web01@3 as.$format
    [ "$("$hyperctl" root as.$format)" = "$(json 'told["root"]' <3.json)" ] || die "as $format: another root"
done

claim "generations are open at once over NBD, in every format, and what is committed meanwhile appears"
serve_hypernbd "$HYPER_ROOT/volumes"
for name in web01@1:1 web01@2:2 web01@latest:3 web01:3 web01@3.qcow2:3 web01@2.vmdk:2 web01@1.vhd:1 web01@1.vhdx:1; do
    same "$(driver_of "${name%:*}")" "$(uri "${name%:*}")" "${name#*:}.raw"
done
change "rm xs"
cp --sparse=always disk.raw 5.raw
"$hyperctl" sync disk.raw web01 >/dev/null
same raw "$(uri web01@5)" 5.raw
same raw "$(uri web01)" 5.raw
same raw "$(uri web01@3)" 3.raw
ends_well

claim "generations are files on the mount"
mount_hyperfs "$HYPER_ROOT/volumes"
cmp "$mount/web01@2.raw" 2.raw || die "web01@2.raw differs"
same qcow2 "$mount/web01@3.qcow2" 3.raw
same raw "$mount/web01.raw" 5.raw

claim "diff and map tell what changed"
"$hyperctl" volume diff web01@1 web01@2 --json >diff.json
[ "$(json 'told["bytes"] == sum(r["length"] for r in told["runs"]) > 0' <diff.json)" = True ] || die "$(cat diff.json)"
python3 - <<'END' || die "diff leaves out what differs, or has more than blocks that do"
import json
told, a, b, block = json.load(open("diff.json")), open("1.raw", "rb").read(), open("2.raw", "rb").read(), 65536
said = {at for run in told["runs"] for at in range(run["start"], run["start"] + run["length"], block)}
differ = {at for at in range(0, len(a), block) if a[at:at + block] != b[at:at + block]}
assert said == differ, (said ^ differ)
END
"$hyperctl" volume diff web01 2 1 --json >again.json
cmp diff.json again.json || die "another order of the same two gives something else"
"$hyperctl" volume diff web01 1 2 | tail -1 | grep -q 'from generation 1 (20.*) to 2 (20' || die "$("$hyperctl" volume diff web01 1 2)"
"$hyperctl" volume map web01@1..3 --json | python3 -c '
import json, sys
runs, disk = json.load(sys.stdin), open("3.raw", "rb").read()
assert any(run["zero"] for run in runs) and any(run["data"] for run in runs), runs
for run in runs:
    assert run["data"] or not disk[run["start"]:run["start"] + run["length"]].strip(b"\0"), run'
"$hyperctl" volume map web01@3 --json >map.json
"$hyperctl" map web01@3 --json | cmp - map.json || die "volume map and map say different things"
"$hyperctl" volume diff web01@1 other4K@1 2>error && die "two volumes were diffed"
grep -q 'hyperctl compare' error || die "$(cat error)"

claim "log tells the generations"
"$hyperctl" volume log web01 >log.log
[ "$(grep -c "file:$scratch/disk.raw" log.log)" = 5 ] || die "$(cat log.log)"
grep -q "$(json 'told["root"][:12]' <2.json)" log.log || die "$(cat log.log)"
[ "$("$hyperctl" volume log web01 --json | json '[g["generation"] for g in told]')" = "[1, 2, 3, 4, 5]" ] || die "log --json"
