#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 10,000 clients of hypernbd are killed, at every byte of the handshake and at random instants under load, and it goes on:
# tests/nbd/kill. KILLS is another number.
. "$(dirname "$0")/lib.sh"
need "$hypernbd" python3 nbdinfo

make_disk random writable.raw
(umask 077 && echo "backup01:$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')" >keys)
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf '[[allow]]\nwho = ["local", "psk:backup01"]\nwrite = ["*"]\n' >rules.toml
serve_hypernbd --rw --listen "127.0.0.1:$port" --tls-psk keys --rules rules.toml writable.raw
python3 "$SRC/tests/nbd/kill" --socket "$socket" --tcp "127.0.0.1:$port" --export writable --raw writable.raw --rw \
    --pid "$server" --count "${KILLS:-10000}" || die "see above"
ends_well
