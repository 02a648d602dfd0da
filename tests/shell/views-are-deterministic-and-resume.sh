#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two servers give the same bytes of a view, so a download that broke off goes on with another server.
. "$(dirname "$0")/lib.sh"
need "$hypernbd" nbdcopy
/usr/bin/python3 -c 'import nbd' 2>/dev/null || skip "Python's nbd module is missing"

mkdir disks
make_disk random disks/web01.raw
serve_hypernbd disks
first=$socket
serve_hypernbd disks
second=$socket

cat >resume.py <<'P'
import hashlib, nbd, sys
name, *sockets = sys.argv[1:]
doors = []
for path in sockets:
    door = nbd.NBD()
    door.set_export_name(name)
    door.connect_unix(path)
    doors.append(door)
size = doors[0].get_size()
broken = size * 2 // 5 + 12345 if size > 100000 else size // 2  # where the first server went away
digest, at = hashlib.sha256(), 0
while at < size:
    door, end = (doors[0], broken) if at < broken else (doors[1], size)
    part = min(end - at, 1 << 20)
    digest.update(door.pread(part, at))
    at += part
print(digest.hexdigest())
P
for view in "${views[@]}"; do
    claim "web01$view"
    socket=$first
    one=$(nbdcopy "$(uri "web01$view")" - | sha)
    socket=$second
    two=$(nbdcopy "$(uri "web01$view")" - | sha)
    [ "$one" = "$two" ] || die "two servers give different bytes"
    resumed=$(/usr/bin/python3 resume.py "web01$view" "$first" "$second")
    [ "$one" = "$resumed" ] || die "a download in two parts gives different bytes"
done
