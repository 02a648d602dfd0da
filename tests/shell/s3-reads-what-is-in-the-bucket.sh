#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Objects of an S3 server that checks signatures.
. "$(dirname "$0")/lib.sh"
. "$SRC/tests/shell/s3.sh"
need "$s3_tool" qemu-img openssl podchecker
serve_s3
s3 -X PUT /images >/dev/null
make_disk random disk.raw
put disk.raw 'a/web%2001.raw'
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
put disk.qcow2 web02.qcow2
put /dev/null readme.txt

claim "an object is read as it is"
"$s3_tool" read 's3://images/a/web 01.raw' >read.raw || die "cannot be read"
cmp disk.raw read.raw
"$s3_tool" read s3://images/web02.qcow2 | cmp - disk.qcow2

claim "images are listed, and nothing else"
[ "$("$s3_tool" list s3://images | tr '\n' ' ')" = 'a/web 01.raw web02.qcow2 ' ] || die "list: $("$s3_tool" list s3://images)"
[ "$("$s3_tool" list s3://images/w)" = web02.qcow2 ] || die "list by a prefix: $("$s3_tool" list s3://images/w)"

claim "a wrong secret and an unknown key are refused, and said"
AWS_SECRET_ACCESS_KEY=hunter2hunter2 refused 'not allowed' SignatureDoesNotMatch read s3://images/web02.qcow2
grep -q hunter2 said && die "the secret is in the message"
AWS_ACCESS_KEY_ID=AKIAXXXXXXXXXXXXXXXX refused 'not allowed' InvalidAccessKeyId read s3://images/web02.qcow2

claim "what is not there is said"
refused 'bad configuration' NoSuchKey read s3://images/none.raw
refused 'bad configuration' NoSuchBucket read s3://none/none.raw

claim "keys come from a file too, and never from arguments"
printf '[default]\naws_access_key_id=x\naws_secret_access_key=y\n[other]\naws_access_key_id = %s\naws_secret_access_key = %s\n' \
    "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" >keys
(
    unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
    HOME=/nowhere refused 'not allowed' 'no credentials' read s3://images/web02.qcow2
    AWS_PROFILE=other "$s3_tool" range s3://images/web02.qcow2 0 4096 credentials-file=keys | cmp - <(head -c 4096 disk.qcow2)
    AWS_PROFILE=other AWS_SHARED_CREDENTIALS_FILE=keys "$s3_tool" range s3://images/web02.qcow2 1 7 | cmp - <(head -c 8 disk.qcow2 | tail -c 7)
)

claim "an object that is changed while it is held is gone, and never mixed"
mkfifo go
"$s3_tool" hold s3://images/web02.qcow2 <go >held 2>said &
holder=$!
exec 3>go
eventually grep -q held held || die "it is not held"
put disk.raw web02.qcow2
echo >&3
exec 3>&-
if wait "$holder"; then die "a changed object was read"; fi
grep -q '^snapshot gone: ' said || die "$(cat said)"

claim "in a bucket with versions it stays what it was"
s3 -X PUT /versioned >/dev/null
printf '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>' >versioning
s3 -X PUT --data-binary @versioning -H 'Content-Type: application/xml' '/versioned?versioning=' >/dev/null
put disk.qcow2 web02.qcow2 versioned
"$s3_tool" hold s3://versioned/web02.qcow2 <go >held2 2>said &
holder=$!
exec 3>go
eventually grep -q held held2 || die "it is not held"
put disk.raw web02.qcow2 versioned
echo >&3
exec 3>&-
wait "$holder" || die "the version was not read: $(cat said)"
[ "$(tail -c 1 held2)" = "$(head -c 1 disk.qcow2)" ] || die "another version was read"

claim "a check says what the server can do"
"$s3_tool" check s3://images/web02.qcow2 >findings
for finding in '0 credentials' '0 object' '0 ranges' '0 changes'; do grep -q "^$finding" findings || die "$(cat findings)"; done

claim "a certificate that nobody vouches for is refused, and accepted by the CA's bundle"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout tls.key -out tls.pem -days 2 -subj /CN=127.0.0.1 \
    -addext subjectAltName=IP:127.0.0.1 2>openssl.log || die "openssl: $(cat openssl.log)"
port=$(free_port)
python3 - "$port" >tls.log 2>&1 <<'P' &
import http.server, ssl, sys
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("tls.pem", "tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
P
servers+=($!)
eventually curl -sk -o /dev/null "https://127.0.0.1:$port/" || die "the TLS server does not start"
refused 'bad configuration' certificate read "https://127.0.0.1:$port/none.raw"
AWS_CA_BUNDLE=tls.pem refused 'bad configuration' 'there is no such object' read "https://127.0.0.1:$port/none.raw"

claim "the man page is sound, and names every option"
podchecker "$SRC/providers/s3/hyper-provider-s3.pod" 2>pod.log || die "$(cat pod.log)"
"$s3_tool" list s3://images no-such-option=1 2>said && die "an unknown option was taken"
for option in $(sed -n 's/.*(there are \(.*\)).*/\1/p' said | tr -d ,); do
    grep -q "^=item B<$option>=" "$SRC/providers/s3/hyper-provider-s3.pod" || die "$option is not in the man page"
done
