#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need /usr/bin/python3 nbdinfo
/usr/bin/python3 -c 'import nbd' 2>/dev/null || skip "Python's libnbd module is missing"

export XDG_RUNTIME_DIR=$scratch/run
mkdir -m 700 run
mkdir images
truncate -s 10M images/web01.raw
truncate -s 64K images/db01.raw
serve_hypernbd --rw --control run/hyper/control.sock --trace requests.trace images

# `steps` has clients of its own, and asks hyperctl meanwhile.
cat >steps <<'END'
import json, nbd, re, subprocess, sys
hyperctl, socket = sys.argv[1:]

def ctl(*arguments):
    return subprocess.run([hyperctl, "export", *arguments], check=True, capture_output=True, text=True).stdout
def connect(name):
    client = nbd.NBD()
    client.connect_uri(f"nbd+unix:///{name}?socket={socket}")
    return client
def expect(pattern, text):
    assert re.search(pattern, text, re.M), f"{pattern}\n{text}"
def ended(client):
    try:
        client.pread(512, 0)
    except nbd.Error:
        return True
    return False
def eventually(condition):
    for attempt in range(100):
        if condition(): return
        subprocess.run(["sleep", "0.05"])
    raise AssertionError("it did not happen")

print("- list tells size, access, clients and what went over")
web, other, db = connect("web01"), connect("web01"), connect("db01")
for i in range(100): web.pread(65536, 0)
other.pwrite(b"x" * 4096, 8192)
listed = ctl("list")
expect(r"^web01 +10 MiB +read-write +2 +101 +6.2 MiB +4 KiB +0 +raw disk", listed)
expect(r"^db01 +64 KiB +read-write +1 ", listed)

print("- show tells latencies by command, and the clients")
shown = ctl("show", "web01")
expect(r"^read +100 +6.2 MiB +0 +[0-9.]+ [mun]?s ", shown)
expect(r"^write +1 +4 KiB +0 ", shown)
expect(r"^ +[0-9]+  unix uid \d+ pid \d+ +.* no +read-write +20", shown)

print("- JSON has the same")
exports = {e["name"]: e for e in json.loads(ctl("list", "--json"))}
assert exports["web01"]["size"] == 10 << 20 and exports["web01"]["clients"] == 2, exports
detail = json.loads(ctl("show", "web01", "--json"))
first, second = sorted(detail["clients-open"], key=lambda client: client["statistics"]["total"]["requests"])
assert first["statistics"]["write"]["bytes"] == 4096 and second["statistics"]["read"]["bytes"] == 6553600, detail
assert sum(n for bound, n in detail["statistics"]["read"]["latency-histogram"]) == 100, detail

print("- close ends one client and no other, or all of an export")
assert ctl("close", "--client", str(first["id"])) == "closed: 1\n"
eventually(lambda: json.loads(ctl("show", "web01", "--json"))["clients"] == 1)
assert ended(other) and not ended(web)
other = connect("web01")
assert ctl("close", "web01") == "closed: 2\n"
eventually(lambda: json.loads(ctl("show", "web01", "--json"))["clients"] == 0)
assert ended(web) and ended(other) and not ended(db)

print("- what clients did is still counted when they are gone")
assert json.loads(ctl("show", "web01", "--json"))["statistics"]["read"]["requests"] >= 100
END
/usr/bin/python3 steps "$hyperctl" "$socket"

claim "what is not there is an error"
! "$hyperctl" export show web02 2>error || die "web02 was shown"
grep -q 'export "web02": neither offered nor opened' error || die "$(cat error)"
! "$hyperctl" export close --client 999999 2>error || die "client 999999 was closed"
! "$hyperctl" export close 2>error || die "close needs a name"
! "$hyperctl" export list --control run/none.sock 2>error || die "a socket that is not there answers"
grep -q 'run/none.sock: no answer' error || die "$(cat error)"

claim "the control socket is for its user alone, and gone with the server"
[ "$(stat -c %a run/hyper/control.sock) $(stat -c %a run/hyper)" = "600 700" ] || die "$(stat run/hyper/control.sock)"
ends_well
[ ! -e run/hyper/control.sock ] || die "the control socket is still there"

claim "the trace has the requests, and can be replayed on a server that was started again"
"$hyperctl" trace show requests.trace >shown
grep -Eq '^web01 +read +10[0-9] +6.3 MiB ' shown && grep -Eq '^web01 +write +1 +4 KiB ' shown || die "$(cat shown)"
grep -qx 'left out: 0' shown || die "$(cat shown)"
truncate -s 0 images/web01.raw
truncate -s 10M images/web01.raw
serve_hypernbd --rw images
"$hyperctl" trace replay requests.trace "$(uri web01)" --export web01 --rw --speed max >replayed || die "$(cat replayed)"
grep -Eq '^write +replayed +1 +4 KiB +0 ' replayed || die "$(cat replayed)"
ends_well
[ "$(tr -d '\0' <images/web01.raw | wc -c)" = 4096 ] || die "the write did not arrive"

claim "images are still exported, also one that is called list"
make_disk one-sector list
"$hyperctl" export -f raw ./list out.qcow2
same qcow2 out.qcow2 list
"$hyperctl" export -f raw ./list ./show -O raw
cmp list show || die "the disks differ"
! "$hyperctl" export -f raw out.qcow2 list 2>error || die "list is no file here"
grep -q 'a file of that name is ./list' error || die "$(cat error)"
! "$hyperctl" export 2>error || die "export does nothing"
grep -q 'SOURCE is required' error || die "$(cat error)"
! "$hyperctl" export list.raw 2>error || die "export of nothing"
grep -q 'DEST is required' error || die "$(cat error)"
