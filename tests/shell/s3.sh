# SPDX-License-Identifier: Apache-2.0
# What the tests of object storage share; sourced after lib.sh. A server, with AWS_* set for it:
#
#     serve_s3                   one of these:
#     serve_moto                 a light server that checks signatures, of the Python package moto, which Debian does not have
#     serve_radosgw              Ceph's, with its objects in memory
#     s3 CURL-ARGUMENT... PATH   a signed request to it by curl;  put FILE KEY [BUCKET]  puts an object into a bucket, "images"
#     refused KIND TEXT ...      $s3_tool with these arguments fails so, and says that
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

refused() {  # KIND TEXT s3_tool-ARGUMENT...
    local kind=$1 text=$2
    shift 2
    if "$s3_tool" "$@" >/dev/null 2>said; then die "$* was not refused"; fi
    grep -q "^$kind: " said || die "$*: $(cat said)"
    grep -q -- "$text" said || die "$*: $(cat said)"
}

serve_s3() {
    if command -v moto_server >/dev/null; then serve_moto; else serve_radosgw; fi
}

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

# One monitor and one store in memory, listening on 127.0.0.1 alone, and the gateway before them. Stopped in the other order.
serve_radosgw() {
    need ceph-mon ceph-osd radosgw curl uuidgen
    local mon port user store
    mon=$(free_port) port=$(free_port) store=$(uuidgen)
    mkdir -p ceph/mon ceph/osd ceph/run
    cat >ceph/conf <<C
[global]
fsid = $(uuidgen)
mon host = v2:127.0.0.1:$mon/0
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr1 = false
keyring = $scratch/ceph/keyring
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data = $scratch/ceph/mon
osd data = $scratch/ceph/osd
osd objectstore = memstore
memstore device bytes = 2147483648
run dir = $scratch/ceph/run
admin socket = $scratch/ceph/run/\$name.asok
crash dir = $scratch/ceph/run
log file = $scratch/\$name.log
rgw data = $scratch/ceph/run
rgw frontends = beast endpoint=127.0.0.1:$port
C
    export CEPH_CONF=$scratch/ceph/conf
    {
        ceph-authtool --create-keyring ceph/keyring --gen-key -n mon. --cap mon 'allow *'
        ceph-authtool ceph/keyring --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
        ceph-authtool ceph/keyring --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
    } >/dev/null
    monmaptool --create --fsid "$(sed -n 's/^fsid = //p' ceph/conf)" --addv a "[v2:127.0.0.1:$mon]" ceph/monmap >/dev/null
    ceph-mon --mkfs -i a --monmap ceph/monmap --keyring ceph/keyring >ceph.log 2>&1 || die "ceph-mon --mkfs: $(cat ceph.log)"
    setsid ceph-mon -f -i a >mon.log 2>&1 </dev/null &
    servers=($! "${servers[@]}")
    timeout 60 ceph osd new "$store" 0 >ceph.log 2>&1 || die "the monitor does not come up: $(cat ceph.log)"
    ceph-osd --mkfs -i 0 --osd-uuid "$store" >ceph.log 2>&1 || die "ceph-osd --mkfs: $(cat ceph.log)"
    setsid ceph-osd -f -i 0 >osd.log 2>&1 </dev/null &
    servers=($! "${servers[@]}")
    user=$(timeout 90 radosgw-admin user create --uid=tester --display-name=tester 2>radosgw-admin.log) || die "radosgw-admin: $(tail -n 5 radosgw-admin.log)"
    setsid radosgw -f -n client.admin --keyring ceph/keyring >rgw.log 2>&1 </dev/null &
    servers=($! "${servers[@]}")
    AWS_ACCESS_KEY_ID=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["keys"][0]["access_key"])' <<<"$user")
    AWS_SECRET_ACCESS_KEY=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["keys"][0]["secret_key"])' <<<"$user")
    export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_ENDPOINT_URL=http://127.0.0.1:$port
    # It makes its pools first.
    local deadline=$((SECONDS + 90))
    until curl -s -o /dev/null "$AWS_ENDPOINT_URL/"; do
        [ $SECONDS -lt $deadline ] || die "radosgw does not start"
        sleep 0.2
    done
}
