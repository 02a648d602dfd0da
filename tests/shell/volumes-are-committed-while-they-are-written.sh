#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A draft becomes a generation while clients write it: hyperctl asks the hypernbd that holds it.
. "$(dirname "$0")/lib.sh"
need "$hypernbd" "$hyperctl" fio qemu-img /usr/bin/python3

/usr/bin/python3 -c 'import nbd' 2>/dev/null || skip "Python's libnbd module is missing"

truncate -s 4M first.raw
"$hyperctl" sync --create first.raw "$scratch/disk.volume" >/dev/null
commit() { "$hyperctl" volume commit --control control.sock "$scratch/disk.volume" "$@"; }

claim "every generation is what the disk was at one moment of its commit, and what was flushed is there after kill -9"
for seed in $(seq "${ROUNDS:-5}"); do
    serve_hypernbd --rw --control control.sock disk.volume
    /usr/bin/python3 "$SRC/tests/support/commits_while_writing.py" "$hyperctl" "$scratch/disk.volume" control.sock "$(uri disk)" "$server" "$seed" ||
        die "$(cat "$scratch"/nbd*.log)"
    gone "$server" || die "it lives"
done
"$hyperctl" volume verify --all "$scratch/disk.volume" >/dev/null || die "verify says $?"

claim "fio verifies what it wrote while it is committed again and again"
serve_hypernbd --rw --control control.sock disk.volume
mkfifo leave
/usr/bin/python3 - "$(uri disk)" >holds.log <<'PYTHON' &
import nbd, sys
client = nbd.NBD()
client.connect_uri(sys.argv[1])
print("holds", flush=True)
open("leave").read()
PYTHON
holder=$!
eventually grep -q holds holds.log || die "nobody holds the draft"
fio --name=verified --ioengine=nbd --uri="$(uri disk)" --rw=randwrite --bssplit=512/20:4k/50:64k/30 --iodepth=16 --size=4M --loops=40 \
    --verify=crc32c --verify_fatal=1 --verify_state_save=0 >fio.log 2>&1 &
writer=$!
commits=0
while kill -0 $writer 2>/dev/null; do
    commit >said.log || die "commit: $(cat "$scratch"/nbd*.log)"
    ! grep -q '^generation' said.log || commits=$((commits + 1))
done
wait $writer || die "fio: $(cat fio.log)"
[ $commits -gt 1 ] || die "there were only $commits commits: $(cat said.log)"
commit >said.log || die "commit: $(cat said.log)"
qemu-img compare -q -f raw -F raw "$(uri disk)" "$(uri disk@latest)" || die "the newest generation differs"

claim "who is not asked, or has it not open, is said"
held=$server
serve_hypernbd --rw --control other.sock first.raw
! "$hyperctl" volume commit --control other.sock "$scratch/disk.volume" 2>said.log || die "another server commits it"
grep -q "hypernbd (process $held).*other.sock.*nobody has it open" said.log || die "another server says: $(cat said.log)"
! "$hyperctl" volume commit --control none.sock "$scratch/disk.volume" 2>said.log || die "nobody commits it"
grep -q "hypernbd (process $held).*none.sock" said.log || die "without a server: $(cat said.log)"
: >leave
wait "$holder"
eventually "$hyperctl" volume verify --all "$scratch/disk.volume" >/dev/null || die "verify says $?"
