#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
. "$SRC/tests/shell/s3.sh"
need nbdkit qemu-img qemu-io

make_disk random disk.raw
size=$(stat -c %s disk.raw)
"$hyperctl" sync --create disk.raw web01.volume >/dev/null

claim "a disk is pushed onto a raw file and an NBD server that held something else, and read back"
head -c "$size" /dev/urandom >file.raw
cp file.raw served.raw
"$hyperctl" push --json web01.volume file.raw >said
grep -q '"verified": true' said || die "$(cat said)"
cmp file.raw disk.raw || die "the file has something else"
nbdkit --foreground -U "$scratch/t.sock" -P "$scratch/t.pid" file served.raw 2>t.log &
servers+=($!)
eventually test -s t.pid || die "nbdkit did not start"
"$hyperctl" push web01.volume "nbd+unix:///?socket=$scratch/t.sock" >/dev/null
cmp served.raw disk.raw || die "the server has something else"

claim "only what changed is written onto one that holds the generation before"
qemu-io -f raw -c 'write -P 66 64k 64k' disk.raw >/dev/null
"$hyperctl" sync disk.raw web01.volume >/dev/null
"$hyperctl" push --since 1 --json web01.volume "nbd+unix:///?socket=$scratch/t.sock" >said
cmp served.raw disk.raw || die "the server has something else"
grep -q '"bytes-written": 65536' said || die "more than what changed was written: $(cat said)"

claim "a target that loses what is written is found out"
cat >liar.py <<'P'
import nbdkit
def open(readonly): return 0
def get_size(h): return SIZE
def pread(h, buf, offset, flags): buf[:] = bytes(len(buf))
def pwrite(h, buf, offset, flags): pass
def flush(h, flags): pass
def zero(h, count, offset, flags): pass
API_VERSION = 2
P
sed -i "s/SIZE/$size/" liar.py
nbdkit --foreground -U "$scratch/l.sock" -P "$scratch/l.pid" python liar.py 2>l.log &
servers+=($!)
eventually test -s l.pid || die "nbdkit did not start: $(cat l.log)"
"$hyperctl" push web01.volume "nbd+unix:///?socket=$scratch/l.sock" 2>err && die "it was believed"
grep -q 'other bytes were read back' err || die "$(cat err)"

claim "one that is too small is refused"
truncate -s 64k small.raw
"$hyperctl" push web01.volume small.raw 2>err && die "it was taken"
grep -q 'has 65536 bytes' err || die "$(cat err)"

claim "a view is pushed into a bucket; one that was killed goes on, or is cleaned up"
serve_s3
s3 -X PUT /images >/dev/null
head -c 70000000 /dev/urandom >large.raw
"$hyperctl" push --as qcow2 web01.volume s3://images/web01.qcow2 >/dev/null || die "cannot be pushed"
[ "$("$hyperctl" root s3://images/web01.qcow2)" = "$("$hyperctl" root disk.raw)" ] || die "the object has something else"
"$hyperctl" push large.raw s3://images/large.raw >/dev/null 2>&1 & pushing=$!
eventually sh -c 'ls hyper/ledger/*' >/dev/null 2>&1 || die "nothing was noted"
kill -9 $pushing
wait $pushing 2>/dev/null || :
if ls hyper/ledger/* >/dev/null 2>&1; then
    "$hyperctl" cleanup --dry-run >said || [ $? = 3 ] || die "$(cat said)"
    grep -q 'upload.*left over' said || die "$(cat said)"
fi
"$hyperctl" push large.raw s3://images/large.raw >/dev/null || die "it does not go on"
[ "$("$hyperctl" root s3://images/large.raw)" = "$("$hyperctl" root large.raw)" ] || die "the object has something else"
[ "$("$hyperctl" cleanup --json)" = "[]" ] || die "something is left: $("$hyperctl" cleanup)"
"$hyperctl" push large.raw s3://images/again.raw >/dev/null 2>&1 & pushing=$!
eventually sh -c 'ls hyper/ledger/*' >/dev/null 2>&1 || die "nothing was noted"
kill -9 $pushing
wait $pushing 2>/dev/null || :
"$hyperctl" cleanup >/dev/null || die "the upload is not removed"
[ "$("$hyperctl" cleanup --json)" = "[]" ] || die "something is left: $("$hyperctl" cleanup)"
[ -z "$("$s3_tool" pending s3://images/again.raw)" ] || die "an upload is left"
