#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Uploads to an S3 server that checks signatures.
. "$(dirname "$0")/lib.sh"
. "$SRC/tests/shell/s3.sh"
need "$s3_tool"
serve_s3
s3 -X PUT /images >/dev/null
head -c 70000000 /dev/urandom >disk.raw

claim "what is uploaded is what is there"
"$s3_tool" upload disk.raw s3://images/web01.raw >said || die "cannot be uploaded"
grep -q '^sent 70000000 ' said || die "$(cat said)"
"$s3_tool" read s3://images/web01.raw | cmp - disk.raw

claim "an upload that was killed makes no object, and goes on without sending what is there"
PARTS=2 "$s3_tool" upload disk.raw s3://images/web02.raw >id && die "it was not killed"
id=$(cat id)
"$s3_tool" read s3://images/web02.raw >/dev/null 2>&1 && die "there is half an object"
[ "$("$s3_tool" pending s3://images/web02.raw)" = "$id" ] || die "the upload is not pending"
UPLOAD_ID=$id "$s3_tool" upload disk.raw s3://images/web02.raw >said || die "it does not go on"
sent=$(sed -n 's/^sent \([0-9]*\) .*/\1/p' said)
[ "$sent" -le $((70000000 - 2 * 16777216)) ] || die "parts were sent again: $(cat said)"
"$s3_tool" read s3://images/web02.raw | cmp - disk.raw
[ -z "$("$s3_tool" pending s3://images/web02.raw)" ] || die "an upload is left"

claim "where the content has changed meanwhile the new content is what is there"
PARTS=3 "$s3_tool" upload disk.raw s3://images/web03.raw >id && die "it was not killed"
printf 'changed' | dd of=disk.raw bs=1 seek=20000000 conv=notrunc status=none
UPLOAD_ID=$(cat id) "$s3_tool" upload disk.raw s3://images/web03.raw >said || die "it does not go on"
"$s3_tool" read s3://images/web03.raw | cmp - disk.raw

claim "an upload that is aborted leaves nothing"
PARTS=1 "$s3_tool" upload disk.raw s3://images/web04.raw >id && die "it was not killed"
"$s3_tool" abort s3://images/web04.raw >/dev/null
[ -z "$("$s3_tool" pending s3://images/web04.raw)" ] || die "an upload is left"

claim "a wrong secret uploads nothing"
if AWS_SECRET_ACCESS_KEY=wrong "$s3_tool" upload disk.raw s3://images/web05.raw 2>said; then die "it was not refused"; fi
grep -q '^not allowed: .*SignatureDoesNotMatch' said || die "$(cat said)"
