#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 10,000 clients of hypernbd are killed, at every byte of the handshake and at random instants under load, and it goes on:
# tests/nbd/kill.
. "$(dirname "$0")/lib.sh"
need "$hypernbd" python3 nbdinfo

make_disk random writable.raw
serve_hypernbd --rw writable.raw
python3 "$SRC/tests/nbd/kill" --socket "$socket" --export writable --raw writable.raw --rw --pid "$server" || die "see above"
ends_well
