#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a sync makes durable, in which order, and that it is no more than that: power cuts alone do not show each of these, since file systems
# often make more durable than they are asked to.
. "$(dirname "$0")/lib.sh"
need "$hyperctl" strace python3
strace true 2>/dev/null || skip "strace may not trace here"

head -c 3M /dev/urandom >disk.raw
"$hyperctl" sync --create disk.raw disk.volume >/dev/null
printf x | dd of=disk.raw bs=1 seek=100000 conv=notrunc status=none
HYPER_IO=pread strace -f -y -o calls.txt -e trace=openat,pwritev,pwrite64,write,rename,fsync,fdatasync "$hyperctl" sync disk.raw disk.volume >/dev/null
cat >order.py <<'EOS'
import re, sys
events = []  # what, and of which file of the volume
unfinished = {}
for line in open("calls.txt"):
    thread, call = line.split(None, 1)
    if call.endswith("<unfinished ...>\n"):
        unfinished[thread] = call[:call.index("<unfinished")]
        continue
    if call.startswith("<..."):
        call = unfinished.pop(thread) + call.split("resumed>", 1)[1]
    what = call.split("(")[0]
    path = re.search(r"disk\.volume/?([^\">]*)", call.rsplit(" = ", 1)[1 if what == "openat" else 0])
    if what == "rename":
        path = re.search(r', "[^"]*disk\.volume/([^"]*)"', call)
    if not path or (what == "openat" and "O_CREAT" not in call):
        continue
    kind = {"openat": "made", "rename": "named", "fsync": "synced", "fdatasync": "synced"}.get(what, "written")
    events.append((kind, path[1]))
def last(kind, pattern, before=None):
    found = [i for i, (k, path) in enumerate(events[:before]) if k == kind and re.fullmatch(pattern, path)]
    if not found: sys.exit(f"{pattern} is not {kind}: {events}")
    return found[-1]
def check(claim, *order):
    if list(order) != sorted(order): sys.exit(f"{claim}: {order} in {events}")
log, data = r"index/\d+\.log", r"data/\d+"
told = last("named", "latest")
durable = last("synced", log)
check("data is durable before the index says so", last("written", data), last("synced", data), last("written", log), durable, told)
check("the log has its name for good before it is told of", last("made", log), last("synced", "index"), durable)
check("the index's new MANIFEST and its name are durable", last("written", r"index/MANIFEST-\d+", last("named", "index/CURRENT")),
      last("synced", r"index/MANIFEST-\d+"), last("named", "index/CURRENT"), last("synced", "index"))
check("the text of latest is durable before it gets that name", last("synced", r"latest\.new"), told)
synced = [path for kind, path in events if kind == "synced"]
if len(synced) > 8: sys.exit(f"{len(synced)} syncs: {synced}")
EOS

claim "what the index says is durable before it says so, and what is told of after that"
python3 order.py
