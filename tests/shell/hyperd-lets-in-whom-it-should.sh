#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Who may ask hyperd, and for what: tokens, scopes, users of the socket, hosts, origins, bodies, limits; and TLS where it is a must.
. "$(dirname "$0")/lib.sh"
need curl python3 openssl certtool
need_root "ask as another user"

free_port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
reader=$(openssl rand -hex 32) runner=$(openssl rand -hex 32) admin=$(openssl rand -hex 32)
(umask 077 && cat >tokens) <<EOF
# who what token
reader read $reader
runner read,run sha256:$(printf %s "$runner" | sha256sum | cut -d' ' -f1)
admin admin $admin
EOF
cat >hyperd.toml <<EOF
[api]
listen = "127.0.0.1:$port"
token_file = "$scratch/tokens"
[jobs.db]
source = "/nonexistent"
volume = "db"
EOF
serve_hyperd hyperd.toml
chmod 755 "$scratch" "$HYPER_ROOT"
# STATUS METHOD TARGET [CURL ARGUMENT...]: over TCP.
wants() {
    local want=$1 method=$2 target=$3 got
    shift 3
    got=$(curl -s -o answer -w '%{http_code}' -X "$method" "$@" "http://127.0.0.1:$port$target")
    [ "$got" = "$want" ] || die "$method $target $*: $got instead of $want: $(cat answer)"
}
as() { echo "Authorization: Bearer $1"; }
json='Content-Type: application/json'

claim "without a token nothing is answered, whatever is asked for"
for target in / /v1/jobs /openapi.json /metrics /events /carbon/zones /v1/nonsense; do
    wants 401 GET $target
    wants 401 GET $target -H "$(as "${reader%?}")"
    wants 401 GET "$target" -H "Authorization: Basic $reader"
done
wants 401 GET "/v1/jobs?token=$reader"
grep -q '"status": 401' answer || die "no problem+json: $(cat answer)"

claim "a token does what its scopes say, and nothing more"
wants 200 GET /v1/jobs -H "$(as "$reader")"
wants 200 GET /v1/jobs -H "$(as "$runner")"
wants 403 GET /v1/jobs -H "$(as "$admin")"
wants 403 POST /v1/jobs/db/pause -H "$(as "$reader")"
wants 202 POST /v1/jobs/db/pause -H "$(as "$runner")"
wants 403 POST /v1/jobs/db/pause -H "$(as "$admin")"
body='{"name": "new", "source": "/a", "volume": "b"}'
wants 403 POST /v1/jobs -H "$(as "$runner")" -H "$json" -d "$body"
wants 201 POST /v1/jobs -H "$(as "$admin")" -H "$json" -d "$body"
wants 403 DELETE /v1/jobs/new -H "$(as "$runner")"
wants 200 DELETE /v1/jobs/new -H "$(as "$admin")"

claim "no other host, no other origin"
wants 421 GET /v1/jobs -H "$(as "$reader")" -H "Host: evil.example"
wants 200 GET /v1/jobs -H "$(as "$reader")" -H "Host: localhost:$port"
wants 403 GET /v1/jobs -H "$(as "$reader")" -H "Origin: https://evil.example"

claim "bodies are JSON, with a length, and not long"
wants 415 POST /v1/jobs -H "$(as "$admin")" -d "$body"
wants 415 POST /v1/jobs -H "$(as "$admin")" -H 'Content-Type: text/plain' -d "$body"
wants 411 POST /v1/jobs -H "$(as "$admin")" -H "$json" -H 'Transfer-Encoding: chunked' -d "$body"
head -c 300000 /dev/zero | tr '\0' ' ' >long
wants 413 POST /v1/jobs -H "$(as "$admin")" -H "$json" --data-binary @long
wants 422 POST /v1/jobs -H "$(as "$admin")" -H "$json" -d '{'
wants 422 POST /v1/jobs -H "$(as "$admin")" -H "$json" -d '[1]'
grep -q '"field": "body"' answer || die "$(cat answer)"
wants 422 GET "/v1/runs?limit=many" -H "$(as "$reader")"
grep -q '"field": "query.limit"' answer && grep -q '"value": "many"' answer || die "$(cat answer)"

claim "the socket lets in our user, and no other, with or without a token"
[ "$(ask_hyperd GET /v1/jobs)" = 200 ] || die "$(cat answer)"
[ "$(stat -c %a "$api")" = 600 ] || die "mode $(stat -c %a "$api")"
chmod 755 "$HYPER_ROOT/run"
chmod 666 "$api"
stranger() { setpriv --reuid=1 --regid=1 --clear-groups curl -s -o "$scratch/stranger" -w '%{http_code}' --unix-socket "$api" "$@" http://localhost/v1/jobs; }
: >stranger
chmod 666 stranger
[ "$(stranger)" = 403 ] || die "$(cat stranger)"
[ "$(stranger -H "$(as "$reader")")" = 403 ] || die "$(cat stranger)"

claim "members of the configured group may look and run, and not change"
name=$(getent group 1 | cut -d: -f1)
sed -i "s/^\\[api\\]/&\\ngroup = \"$name\"/" hyperd.toml
kill -HUP "$daemon"
let_in() { [ "$(stranger)" = 200 ]; }
eventually let_in || die "$(cat stranger)"
[ "$(stranger -X POST -H "$json" -d "$body")" = 403 ] || die "$(cat stranger)"
grep -q '"value": "admin"' stranger || die "$(cat stranger)"

claim "tokens are read again by SIGHUP"
other=$(openssl rand -hex 32)
sed -i "s/^reader.*/reader read $other/" tokens
kill -HUP "$daemon"
changed() { [ "$(curl -s -o answer -w '%{http_code}' -H "$(as "$other")" "http://127.0.0.1:$port/v1/jobs")" = 200 ]; }
eventually changed || die "$(cat answer)"
wants 401 GET /v1/jobs -H "$(as "$reader")"

claim "who asks too often is told when to come again"
curl -s -o /dev/null -w '%{http_code}\n' -H "$(as "$other")" "http://127.0.0.1:$port/v1/plan?[1-600]" >codes 2>/dev/null || :
grep -q 429 codes || die "$(sort codes | uniq -c)"
curl -s -D headers -o answer "http://127.0.0.1:$port/v1/jobs?[1-300]" >/dev/null
grep -qi '^retry-after: [1-9]' headers || die "no Retry-After"

claim "more connections than it serves are sent away, and it serves on"
python3 - "$port" <<'EOF' || die "it does not bound its connections"
import socket, sys
held = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(80)]
answers = []
for one in held[64:]:
    one.settimeout(3)
    try: answers.append(one.recv(100))
    except TimeoutError: answers.append(b"")
assert any(a.startswith(b"HTTP/1.1 503") for a in answers), answers
EOF
served() { [ "$(curl -s -o answer -w '%{http_code}' -H "$(as "$other")" "http://127.0.0.1:$port/v1/jobs")" = 200 ]; }
eventually served || die "it serves no more"
kill "$daemon"; gone "$daemon" || die "it does not end"

claim "without tokens, or TLS where it is a must, it does not start"
starts() { timeout 10 "$hyperd" --hyperctl "$hyperctl" --config "$1" 2>said.err; }
printf '[api]\nlisten = "127.0.0.1:%s"\n' "$port" >open.toml
starts open.toml && die "it starts without tokens"
grep -q token_file said.err || die "$(cat said.err)"
printf '[api]\nlisten = "0.0.0.0:%s"\ntoken_file = "%s/tokens"\n' "$port" "$scratch" >open.toml
starts open.toml && die "it starts without TLS"
grep -q TLS said.err || die "$(cat said.err)"
chmod 644 tokens
starts hyperd.toml && die "it takes tokens that others may read"
grep -q tokens said.err || die "$(cat said.err)"
chmod 600 tokens

claim "with TLS it is served off loopback"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 30 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost 2>openssl.log || die "$(cat openssl.log)"
chmod 600 key.pem
printf '[api]\nlisten = "0.0.0.0:%s"\ntoken_file = "%s/tokens"\ntls_certificate = "%s/cert.pem"\ntls_key = "%s/key.pem"\n' \
    "$port" "$scratch" "$scratch" "$scratch" >tls.toml
serve_hyperd tls.toml
curl -sf --cacert cert.pem -H "$(as "$other")" "https://localhost:$port/v1/jobs" -o answer || die "TLS does not serve"
[ "$(curl -s -o answer -w '%{http_code}' --cacert cert.pem "https://localhost:$port/v1/jobs")" = 401 ] || die "TLS needs no token"
curl -s -m 5 -H "$(as "$other")" "http://localhost:$port/v1/jobs" -o answer && die "it is served without TLS" || :
