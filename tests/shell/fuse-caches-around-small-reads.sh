#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need fuse fusermount3 fincore python3

make_disk full full.raw
make_disk random random.raw
python3 - full.raw <<'PYTHON' || skip "this file system cannot read without waiting for a disk"
import os, sys
try: os.preadv(os.open(sys.argv[1], os.O_RDONLY), [bytearray(1)], 0, os.RWF_NOWAIT)
except OSError: sys.exit(1)
PYTHON
cat full.raw random.raw >/dev/null
mount_hyperfs full.raw random.raw

cat >read-small.py <<'PYTHON'
# read-small.py FILE: 4 KiB at 1 MiB. read-small.py FILE SAME-AS: at many places, by many threads, what is in both.
import os, random, sys, threading
files = [os.open(path, os.O_RDONLY) for path in sys.argv[1:]]
os.posix_fadvise(files[0], 0, 0, os.POSIX_FADV_RANDOM)
def read_many(seed):
    draw = random.Random(seed)
    for number in range(3000):
        at = draw.randrange(0, 2 << 20) & ~4095
        if os.pread(files[0], 4096, at) != os.pread(files[1], 4096, at): os._exit(1)
        if number % 100 == 0: os.posix_fadvise(files[0], 0, 0, os.POSIX_FADV_DONTNEED)
if len(files) == 1:
    os.posix_fadvise(files[0], 0, 0, os.POSIX_FADV_DONTNEED)
    os.pread(files[0], 4096, 1 << 20)
else:
    threads = [threading.Thread(target=read_many, args=[seed]) for seed in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
PYTHON
cached_bytes() { fincore --bytes --noheadings --output RES "$1" | tr -d ' '; }
window_is_cached() { [ "$(cached_bytes "$1")" -ge 131072 ]; }
# The kernel may want the memory of either file for something else at any time: then once more.
small_read_caches_window() {  # VIEW
    local try
    cat full.raw >/dev/null
    python3 read-small.py "$1"
    for try in {1..20}; do
        window_is_cached "$1" && return 0
        sleep 0.05
    done
    return 1
}

claim "what lies around a small read is in the kernel's cache when the image is in memory"
dd if="$mount/random.raw" of=past-the-cache bs=4096 skip=256 count=1 iflag=direct status=none
for view in "${views[@]}"; do
    [ "$view" = .monolithicFlat.vmdk ] && continue  # a text of one sector
    eventually small_read_caches_window "$mount/full$view" || die "full$view: $(cached_bytes "$mount/full$view") bytes are cached"
    [ "$(cached_bytes "$mount/full$view")" -lt 1048576 ] || die "full$view: $(cached_bytes "$mount/full$view") bytes are cached"
done

claim "a read past the kernel's cache puts nothing into it"
[ "$(cached_bytes "$mount/random.raw")" = 0 ] || die "$(cached_bytes "$mount/random.raw") bytes are cached"

claim "many who read beside each other read what is there"
python3 read-small.py "$mount/full.raw" full.raw || die "something else was read"
cmp full.raw "$mount/full.raw"

claim "a signal ends it while they read"
for number in 1 2 3 4 5; do
    mount_hyperfs full.raw
    python3 read-small.py "$mount/full.raw" full.raw 2>readers.log &
    readers=$!
    eventually window_is_cached "$mount/full.raw" || die "nobody reads"
    kill -TERM "${servers[-1]}"
    gone "${servers[-1]}" || die "it does not end"
    wait "$readers" || true
done
