#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need fuse fusermount3

make_disk random disk.raw
unmounted() { ! grep -q " $1 " /proc/self/mountinfo; }

claim "fusermount3 -u ends it with exit status 0"
mount_hyperfs disk.raw
pid=${servers[-1]}
fusermount3 -u "$mount"
wait "$pid" || die "exit status $?"

for signal in INT TERM; do
    claim "SIG$signal unmounts, and ends it with exit status 0, also while a file is open"
    mkdir "at-$signal"
    # A shell's background jobs ignore SIGINT, and libfuse leaves that so.
    mounts+=("$scratch/at-$signal")
    python3 -c 'import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])' \
        "$hyperfs" -f disk.raw "at-$signal" 2>"$signal.log" &
    pid=$!
    servers+=("$pid")
    eventually mountpoint -q "at-$signal" || die "not mounted"
    exec 3<"at-$signal/disk.raw"
    kill "-$signal" "$pid"
    gone "$pid" || die "it does not end"
    exec 3<&-
    wait "$pid" || die "exit status $?"
    unmounted "$scratch/at-$signal" || die "the mount is left behind"
done

claim "without -f it returns when the mount can be read, and goes on without the terminal"
mkdir background
mounts+=("$scratch/background")
said=$(timeout 20 "$hyperfs" disk.raw background 2>&1) || die "exit status $?: $said"
cmp disk.raw background/disk.raw
fusermount3 -u background

claim "what cannot be mounted is told, with exit status 1"
failed() { local status=0; "$hyperfs" "$@" >said 2>&1 || status=$?; [ $status = "$expected" ] || die "$*: exit status $status: $(cat said)"; }
expected=1
failed missing.raw background; grep -q missing.raw said || die "$(cat said)"
failed disk.raw no-such-folder; grep -q no-such-folder said || die "$(cat said)"
failed -f disk.raw no-such-folder

claim "wrong usage is told, with exit status 2"
expected=2
failed disk.raw
failed -o rw disk.raw background
failed --format tar disk.raw background
