# SPDX-License-Identifier: Apache-2.0
# What the tests of object storage share; sourced after lib.sh. A server, with AWS_* set for it:
#
#     serve_moto                 a light server that checks signatures
#     s3 CURL-ARGUMENT... PATH   a signed request to it by curl;  put FILE KEY [BUCKET]  puts an object into a bucket, "images"
#     $s3_tool                   the provider and uploads by themselves: see s3_tool.cpp
s3_tool=$BUILD/tests/providers/s3/s3_tool
unset AWS_SESSION_TOKEN AWS_PROFILE AWS_SHARED_CREDENTIALS_FILE AWS_DEFAULT_REGION AWS_CA_BUNDLE http_proxy https_proxy
export AWS_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# curl 7.88 leaves the hash out that S3 wants to see.
s3() {
    local path=${*: -1} body=/dev/null word
    for word; do [[ $word == @* ]] && body=${word#@}; done
    curl -sS --fail --aws-sigv4 "aws:amz:$AWS_REGION:s3" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
        -H "x-amz-content-sha256: $(sha <"$body")" "${@:1:$#-1}" "$AWS_ENDPOINT_URL$path"
}
put() { s3 -X PUT --data-binary "@$1" -H 'Content-Type: application/octet-stream' "/${3:-images}/$2" >/dev/null || die "cannot put $2"; }

# The first three calls go unchecked, and make a user that may do everything.
serve_moto() {
    need moto_server curl
    local port action answer
    port=$(free_port)
    INITIAL_NO_AUTH_ACTION_COUNT=3 setsid moto_server -H 127.0.0.1 -p "$port" >"$scratch/moto.log" 2>&1 </dev/null &
    servers+=($!)
    eventually curl -s -o /dev/null "http://127.0.0.1:$port/moto-api/" || die "moto_server does not start"
    for action in CreateUser CreateAccessKey \
        "PutUserPolicy&PolicyName=all&PolicyDocument={\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}]}"; do
        answer=$(curl -sS -H 'Authorization: AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0' \
            -d "Action=$action&UserName=tester&Version=2010-05-08" "http://127.0.0.1:$port/")
        [ "$action" = CreateAccessKey ] || continue
        AWS_ACCESS_KEY_ID=$(sed -n 's/.*<AccessKeyId>\(.*\)<\/AccessKeyId>.*/\1/p' <<<"$answer")
        AWS_SECRET_ACCESS_KEY=$(sed -n 's/.*<SecretAccessKey>\(.*\)<\/SecretAccessKey>.*/\1/p' <<<"$answer")
    done
    [ -n "$AWS_ACCESS_KEY_ID" ] || die "moto_server gives no keys: $answer"
    export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_ENDPOINT_URL=http://127.0.0.1:$port
}
