#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Volumes are written through hypernbd and nbdkit: into a draft, which survives a kill and becomes a generation.
. "$(dirname "$0")/lib.sh"
need "$hypernbd" "$hyperctl" fio qemu-io qemu-img /usr/bin/python3

/usr/bin/python3 -c 'import nbd' 2>/dev/null || skip "Python's libnbd module is missing"

make_disk random first.raw
"$hyperctl" sync --create first.raw "$scratch/disk.volume" >/dev/null
log() { cat "$scratch"/*.log; }
on_nbd() { qemu-io -f raw "$(uri "$1")" "${@:2}" >qemu-io.log 2>&1 || die "qemu-io: $(log)"; }
cp first.raw second.raw
change() {  # the same to the file, by another program
    qemu-io -f raw second.raw -c 'write -P 0xaa 1000 3000' -c 'write -P 0xbb 1M 300k' -c 'write -z 512k 130k' >/dev/null
}

claim "what was flushed is there after kill -9, and the generations are what they were"
serve_hypernbd --rw disk.volume
on_nbd disk -c 'write -P 0xaa 1000 3000' -c 'write -P 0xbb 1M 300k' -c 'write -z 512k 130k' -c flush -c 'read -P 0xaa 1000 3000'
change
kill -9 "$server"
gone "$server" || die "it lives"
serve_hypernbd --rw disk.volume
qemu-img compare -q -f raw -F raw second.raw "$(uri disk)" || die "the draft differs"
qemu-img compare -q -f raw -F raw first.raw "$(uri disk@1)" || die "generation 1 differs"
qemu-img compare -q -f raw -F qcow2 first.raw "$(uri disk@1.qcow2)" || die "a view of generation 1 differs"

claim "a generation can be written to and thrown away"
on_nbd disk@1+rw -c 'write -P 0xcc 0 64k' -c flush -c 'read -P 0xcc 0 64k'
qemu-img compare -q -f raw -F raw first.raw "$(uri disk@1)" || die "generation 1 differs"
eventually eval '! ls -d disk.volume/overlay-* 2>/dev/null' || die "the overlay is still there"

claim "another writer is told who writes while a client has the draft open"
mkfifo leave
/usr/bin/python3 - "$(uri disk)" >holds.log <<'PYTHON' &
import nbd, sys
client = nbd.NBD()
client.connect_uri(sys.argv[1])
print("holds", flush=True)
open("leave").read()
PYTHON
holder=$!
eventually grep -q holds holds.log || die "nobody holds the draft: $(log)"
"$hyperctl" volume commit "$scratch/disk.volume" 2>busy.log && die "it was committed"
grep -q "hypernbd (process $server)" busy.log || die "commit: $(cat busy.log)"
: >leave
wait "$holder"

claim "a draft becomes a generation"
eventually "$hyperctl" volume commit "$scratch/disk.volume" >/dev/null 2>&1 || die "commit: $("$hyperctl" volume commit "$scratch/disk.volume" 2>&1)"
qemu-img compare -q -f raw -F raw second.raw "$(uri disk@2)" || die "generation 2 differs"
qemu-img compare -q -f raw -F raw first.raw "$(uri disk@1)" || die "generation 1 differs"
ends_well

claim "a draft becomes a generation when its last client leaves, where that is wished"
serve_hypernbd --rw --commit on-close disk.volume
on_nbd disk -c 'write -P 0xdd 2M 5000' -c flush
qemu-io -f raw second.raw -c 'write -P 0xdd 2M 5000' >/dev/null
eventually eval '"$hyperctl" info "$scratch/disk.volume@3" >/dev/null 2>&1' || die "there is no generation 3: $(log)"
qemu-img compare -q -f raw -F raw second.raw "$(uri disk@3)" || die "generation 3 differs"
ends_well

claim "nbdkit writes a volume too"
serve_nbd rw=true disk.volume
qemu-io -f raw "$(uri disk)" -c 'write -P 0xee 3M 70000' -c flush >qemu-io.log 2>&1 || die "qemu-io: $(cat qemu-io.log)"
qemu-io -f raw second.raw -c 'write -P 0xee 3M 70000' >/dev/null
qemu-img compare -q -f raw -F raw second.raw "$(uri disk)" || die "the draft differs"
eventually "$hyperctl" volume commit "$scratch/disk.volume" >/dev/null 2>&1 || die "commit: $("$hyperctl" volume commit "$scratch/disk.volume" 2>&1)"
[ "$("$hyperctl" root "$scratch/disk.volume@4")" = "$("$hyperctl" root -f raw second.raw)" ] || die "generation 4 differs"

claim "fio verifies what it wrote to a volume"
serve_hypernbd --rw disk.volume
fio --name=verified --ioengine=nbd --uri="$(uri disk)" --rw=randwrite --bssplit=512/20:4k/50:64k/30 --iodepth=16 --size=4M \
    --verify=crc32c --verify_fatal=1 --verify_state_save=0 >fio.log 2>&1 || die "fio: $(cat fio.log)"
ends_well
