#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need python3

# Keeps the server's standard input open until the test ends.
export XDG_RUNTIME_DIR=$scratch/run
mkdir -m 700 run
mkfifo input
exec 9<>input
"$BUILD/tests/nbdserver/watch/watch_server" run/hyper/control.sock <input >closed 2>server.log &
servers+=($!)
eventually "$hyperctl" export list >/dev/null 2>&1 || die "the control socket does not answer"

claim "list tells size, access, clients and what went over"
"$hyperctl" export list >list
grep -Eq '^db01 +4 KiB +read-write +1 +100 +6.2 MiB +0 B +1$' list || die "$(cat list)"
grep -Eq '^web01 +10 GiB +read-only +2 +200 +12.4 MiB +0 B +2 +raw disk$' list || die "$(cat list)"

claim "show tells latencies by command, and the clients"
"$hyperctl" export show web01 >show
grep -Eq '^read +200 +12.4 MiB +2 +99.5 us ' show || die "$(cat show)"
grep -Eq '^ +2  unix pid 17 uid 1000 +backup +yes +read-only ' show || die "$(cat show)"

claim "JSON has the same"
"$hyperctl" export list --json >list.json
"$hyperctl" export show web01 --json >show.json
python3 - <<'END'
import json
exports = {e["name"]: e for e in json.load(open("list.json"))}
assert exports["db01"]["size"] == 4096 and exports["web01"]["clients"] == 2, exports
shown = json.load(open("show.json"))
assert [c["id"] for c in shown["clients-open"]] == [1, 2], shown
assert shown["statistics"]["read"]["errors"] == 2, shown
END

claim "close ends one client, or all of an export"
"$hyperctl" export close --client 3 | grep -qx 'closed: 1' || die "one client was not closed"
"$hyperctl" export close web01 | grep -qx 'closed: 2' || die "two clients were not closed"
printf 'close %s\n' db01 web01 web01 | cmp - closed || die "$(cat closed)"

claim "what is not there is an error"
! "$hyperctl" export show web02 2>error || die "web02 was shown"
grep -q 'export "web02": neither offered nor opened' error || die "$(cat error)"
! "$hyperctl" export close --client 9 2>error || die "client 9 was closed"
! "$hyperctl" export close 2>error || die "close needs a name"
! "$hyperctl" export list --control run/none.sock 2>error || die "a socket that is not there answers"
grep -q 'run/none.sock: no answer' error || die "$(cat error)"

claim "images are still exported, also one that is called list"
make_disk one-sector list
"$hyperctl" export -f raw ./list out.qcow2
same qcow2 out.qcow2 list
rm show
"$hyperctl" export -f raw ./list ./show -O raw
cmp list show || die "the disks differ"
! "$hyperctl" export -f raw out.qcow2 list 2>error || die "list is no file here"
grep -q 'a file of that name is ./list' error || die "$(cat error)"
for arguments in "" "list.raw"; do
    ! "$hyperctl" export $arguments 2>error || die "export $arguments does nothing"
    grep -q 'is required' error || die "$(cat error)"
done
