#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The provider and uploads against a server that people run: radosgw, on a Ceph in memory.
. "$(dirname "$0")/lib.sh"
. "$SRC/tests/shell/s3.sh"
need "$s3_tool" qemu-img
serve_radosgw
s3 -X PUT /images >/dev/null
make_disk random disk.raw
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
put disk.qcow2 a/web01.qcow2
put disk.raw 'a/web%2002.raw'

claim "objects are read as they are, and listed by folder"
"$s3_tool" read s3://images/a/web01.qcow2 | cmp - disk.qcow2
"$s3_tool" read 's3://images/a/web 02.raw' | cmp - disk.raw
[ "$("$s3_tool" list s3://images/a/ | tr '\n' ' ')" = 'web 02.raw web01.qcow2 ' ] || die "list: $("$s3_tool" list s3://images/a/)"

claim "a wrong secret and an unknown key are refused"
AWS_SECRET_ACCESS_KEY=wrong refused 'not allowed' SignatureDoesNotMatch read s3://images/a/web01.qcow2
AWS_ACCESS_KEY_ID=unknown refused 'not allowed' InvalidAccessKeyId read s3://images/a/web01.qcow2
refused 'not allowed' AccessDenied read s3://images/a/web01.qcow2 anonymous=true

claim "a presigned URL is read as it is, and refused where it was changed"
url=$("$s3_tool" presign s3://images/a/web01.qcow2)
"$s3_tool" read "$url" | cmp - disk.qcow2
refused 'not allowed' SignatureDoesNotMatch read "${url/Expires=600/Expires=900}"
grep -q Signature= said && die "the signature is in the message: $(cat said)"
refused 'not allowed' SignatureDoesNotMatch read "${url/web01.qcow2/web02.raw}"

claim "an object that is changed while it is held is gone, and one that is shorter then too"
mkfifo go
for other in disk.raw /dev/null; do
    put disk.qcow2 held.qcow2
    "$s3_tool" hold s3://images/held.qcow2 <go >held 2>said &
    holder=$!
    exec 3>go
    eventually grep -q held held || die "it is not held: $(cat said)"
    put "$other" held.qcow2
    echo >&3
    exec 3>&-
    if wait "$holder"; then die "a changed object was read"; fi
    grep -q '^snapshot gone: ' said || die "$(cat said)"
done

claim "a check finds all well"
"$s3_tool" check s3://images/a/web01.qcow2 >findings
for finding in '0 credentials' '0 object' '0 ranges' '0 changes'; do grep -q "^$finding" findings || die "$(cat findings)"; done

head -c 70000000 /dev/urandom >large.raw

claim "an upload that was killed makes no object, and goes on without sending what is there"
PARTS=2 "$s3_tool" upload large.raw s3://images/large.raw >id && die "it was not killed"
refused 'bad configuration' NoSuchKey read s3://images/large.raw
[ "$("$s3_tool" pending s3://images/large.raw)" = "$(cat id)" ] || die "the upload is not pending"
UPLOAD_ID=$(cat id) "$s3_tool" upload large.raw s3://images/large.raw >said || die "it does not go on"
sent=$(sed -n 's/^sent \([0-9]*\) .*/\1/p' said)
[ "$sent" -le $((70000000 - 2 * 16777216)) ] || die "parts were sent again: $(cat said)"
"$s3_tool" read s3://images/large.raw | cmp - large.raw

claim "an upload that is aborted leaves nothing, and is begun anew"
PARTS=1 "$s3_tool" upload large.raw s3://images/other.raw >id && die "it was not killed"
"$s3_tool" abort s3://images/other.raw >/dev/null
[ -z "$("$s3_tool" pending s3://images/other.raw)" ] || die "an upload is left"
UPLOAD_ID=$(cat id) "$s3_tool" upload large.raw s3://images/other.raw >said || die "it is not begun anew"
grep -q '^sent 70000000 ' said || die "$(cat said)"
"$s3_tool" read s3://images/other.raw | cmp - large.raw
