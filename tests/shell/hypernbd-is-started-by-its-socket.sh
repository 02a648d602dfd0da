#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Socket activation (LISTEN_FDS), and what the service manager is told (NOTIFY_SOCKET).
. "$(dirname "$0")/lib.sh"
need "$hypernbd" nbdinfo systemd-socket-activate socat

make_disk random web01.raw
claim "the socket that was handed over is served, and the manager hears READY, RELOADING and STOPPING"
socat -u UNIX-RECV:notify.sock,unlink-early OPEN:told,creat,append &
servers+=($!)
eventually test -S notify.sock || die "socat does not listen"
socket=$scratch/activated.sock
NOTIFY_SOCKET=$scratch/notify.sock systemd-socket-activate -E NOTIFY_SOCKET -l "$socket" "$hypernbd" web01.raw 2>activate.log &
server=$!
servers+=("$server")
eventually test -S "$socket" || die "systemd-socket-activate does not listen"
eventually nbdinfo --size "$(uri web01)" >size 2>/dev/null || die "not served: $(cat activate.log)"
[ "$(cat size)" = "$(stat -c %s web01.raw)" ] || die "another disk is served"
eventually grep -q READY=1 told || die "not told: $(cat told)"
kill -HUP "$server"
eventually grep -q RELOADING=1 told || die "not told of reloading: $(cat told)"
nbdinfo --size "$(uri web01)" >/dev/null
ends_well
eventually grep -q STOPPING=1 told || die "not told of stopping: $(cat told)"

claim "without a socket from anywhere it says what to do"
status=0
"$hypernbd" web01.raw 2>said || status=$?
[ $status = 1 ] && grep -q -- "--socket" said || die "status $status: $(cat said)"
