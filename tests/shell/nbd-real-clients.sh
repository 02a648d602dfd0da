#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Other people's clients read and write exports of hypernbd, and get and leave the right bytes: libnbd's tools and its Python
# module, qemu's tools, fio.
. "$(dirname "$0")/lib.sh"
need "$hypernbd" nbdinfo nbdcopy nbdsh qemu-img qemu-io qemu-nbd fio python3

mkdir disks
make_disk random disks/web01.raw
make_disk alternating alternating.raw
qemu-img convert -f raw -O qcow2 alternating.raw disks/db01.qcow2
serve_hypernbd disks
size=$(stat -c %s disks/web01.raw)

claim "nbdinfo lists, describes and maps"
nbdinfo --list --json "$(uri '')" >list.json
python3 - <<'PYTHON'
import json
names = {export["export-name"] for export in json.load(open("list.json"))["exports"]}
assert {"web01", "web01.qcow2", "web01.streamOptimized.vmdk", "db01", "db01.vhdx"} <= names, names
PYTHON
nbdinfo --json "$(uri web01)" >info.json
python3 - "$size" <<'PYTHON'
import json, sys
info = json.load(open("info.json"))
export = info["exports"][0]
assert info["protocol"] == "newstyle-fixed" and info["structured"], info
assert export["export-size"] == int(sys.argv[1]) and export["is_read_only"], export
assert "base:allocation" in export["contexts"], export
PYTHON
[ "$(nbdinfo --size "$(uri web01)")" = "$size" ] || die "another size"
for ability in connect df 'structured reply'; do nbdinfo --can "$ability" "$(uri web01)" || die "cannot: $ability"; done
nbdinfo --is read-only "$(uri web01)" || die "it is not read-only"
for ability in write trim zero; do ! nbdinfo --can "$ability" "$(uri web01)" || die "can: $ability"; done
nbdinfo --map "$(uri db01)" >map
python3 - <<'PYTHON'
K, at = 1 << 10, 0
for line in open("map"):
    offset, length, kind = (int(word) for word in line.split()[:3])
    assert offset == at and length == 64 * K and kind == (3 if at // length % 2 else 0), line
    at += length
assert at == 32 << 20, at
PYTHON

claim "nbdcopy reads"
for connections in 1 4; do
    nbdcopy --connections=$connections --requests=64 "$(uri web01)" copy.raw
    cmp copy.raw disks/web01.raw || die "nbdcopy got other bytes"
done
nbdcopy "$(uri db01)" copy.raw
cmp copy.raw alternating.raw || die "nbdcopy got other bytes of the image"

claim "qemu's tools read"
qemu-img compare -f raw -F raw "$(uri web01)" disks/web01.raw || die "qemu-img sees other bytes"
qemu-img compare -f vmdk -F raw "$(uri web01.vmdk)" disks/web01.raw || die "qemu-img sees other bytes in the view"
qemu-img convert -f raw -O raw "$(uri db01)" copy.raw
cmp copy.raw alternating.raw || die "qemu-img converted other bytes"
qemu-img map --output=json -f raw "$(uri db01)" >map.json
python3 - <<'PYTHON'
import json
extents = json.load(open("map.json"))
assert len(extents) == 512 and all(extent["data"] == (place % 2 == 0) for place, extent in enumerate(extents)), extents[:4]
PYTHON
qemu-nbd --list -k "$socket" >list
grep -q "export: 'web01'" list || die "qemu-nbd does not list the export"
grep -q "size: *$size" list || die "qemu-nbd lists another size"

claim "fio verifies reads of many threads"
fio --name=reads --ioengine=nbd --uri="$(uri web01)" --rw=randread --bsrange=512-256k --iodepth=32 --numjobs=2 \
    --size=64M --io_size=128M --output=fio.out >/dev/null || { cat fio.out; die "fio failed"; }
ends_well

cp --sparse=always disks/web01.raw writable.raw
truncate -s 64M empty.raw
serve_hypernbd --rw writable.raw empty.raw

claim "nbdcopy writes"
nbdcopy --flush alternating.raw "$(uri empty)"
cmp -n 33554432 alternating.raw empty.raw || die "nbdcopy left other bytes"
truncate -s 100663808 copy.raw
nbdcopy --connections=4 "$(uri writable)" copy.raw
cmp copy.raw writable.raw || die "nbdcopy read other bytes"
nbdcopy --destination-is-zero "$(uri empty)" null: || die "nbdcopy to nowhere failed"

claim "qemu-img writes a file system's image over NBD, and sees it"
qemu-img convert -n -f raw -O raw disks/web01.raw "$(uri writable)"
cmp disks/web01.raw writable.raw || die "qemu-img wrote other bytes"

claim "qemu-io writes, zeroes, discards and flushes"
qemu-io -f raw -c 'write -P 0xaa 0 1M' -c 'read -P 0xaa 0 1M' -c 'write -f -P 0xbb 4k 8k' -c 'read -P 0xbb 4k 8k' \
    -c 'write -z 64k 128k' -c 'read -P 0 64k 128k' -c 'write -z -u 256k 64k' -c 'read -P 0 256k 64k' \
    -c 'discard 512k 64k' -c 'aio_write -P 0xcc 2M 1M' -c 'aio_read -P 0xaa 768k 256k' -c aio_flush -c flush \
    "$(uri empty)" >said 2>&1 || { cat said; die "qemu-io failed"; }
! grep -iE 'fail|error|differ' said || die "qemu-io complains"
python3 - <<'PYTHON'
data = open("empty.raw", "rb").read(3 << 20)
K = 1 << 10
for begin, end, byte in (0, 4, 0xaa), (4, 12, 0xbb), (12, 64, 0xaa), (64, 192, 0), (192, 256, 0xaa), (256, 320, 0), \
        (320, 512, 0xaa), (576, 1024, 0xaa), (2048, 3072, 0xcc):
    assert data[begin * K:end * K] == bytes([byte]) * ((end - begin) * K), (begin, end)
PYTHON

claim "libnbd's Python module: contexts, flags, many commands in flight"
cat >clients.py <<'PYTHON'
import os, sys, nbd
handle = nbd.NBD()
handle.set_strict_mode(0)
handle.add_meta_context("base:allocation")
handle.connect_uri(sys.argv[1])
assert handle.can_meta_context("base:allocation") and handle.get_structured_replies_negotiated()
assert handle.can_flush() and handle.can_fua() and handle.can_trim() and handle.can_zero() and handle.can_df()
before = os.urandom(1 << 20)
handle.pwrite(before, 12345, nbd.CMD_FLAG_FUA)
assert handle.pread(1 << 20, 12345, 0) == before and handle.pread(1 << 16, 20000, nbd.CMD_FLAG_DF) == before[7655:7655 + 65536]
handle.zero(4096, 12345 + 4096, nbd.CMD_FLAG_NO_HOLE)
handle.flush()
expected = before[:4096] + bytes(4096) + before[8192:]
assert handle.pread(1 << 20, 12345) == expected
handle.trim(4096, 32 << 20)
extents = []
handle.block_status(handle.get_size(), 0, lambda context, offset, entries, error: extents.extend(entries))
assert sum(extents[::2]) <= handle.get_size() and extents[1] in (0, 3), extents[:8]
chunks = []
def chunk(data, offset, status, error):
    chunks.append((offset, len(data), status))
handle.pread_structured(1 << 20, 0, chunk)
assert sum(length for _, length, _ in chunks) == 1 << 20
buffers, cookies = [], []
for number in range(200):
    buffer = nbd.Buffer(4096)
    buffers.append(buffer)
    cookies.append(handle.aio_pread(buffer, 12345 + number * 4096))
while handle.aio_in_flight():
    handle.poll(-1)
for cookie in cookies:
    assert handle.aio_command_completed(cookie)
for number in range(200):
    assert bytes(buffers[number].to_bytearray()) == expected[number * 4096:number * 4096 + 4096], number
for wrong in (lambda: handle.pread(512, handle.get_size()), lambda: handle.pwrite(bytes(512), handle.get_size()),
              lambda: handle.zero(512, handle.get_size())):
    try:
        wrong()
        raise SystemExit("a request past the end succeeds")
    except nbd.Error:
        pass
assert handle.pread(512, 12345) == expected[:512]
handle.shutdown()
PYTHON
/usr/bin/python3 clients.py "$(uri empty)"

claim "fio writes and verifies, one connection after the other and several at once"
fio --name=verify --ioengine=nbd --uri="$(uri empty)" --rw=randwrite --bsrange=512-128k --iodepth=32 --size=64M \
    --verify=crc32c --verify_fatal=1 --do_verify=1 --output=fio.out >/dev/null || { cat fio.out; die "fio found a fault"; }
fio --name=mixed --ioengine=nbd --uri="$(uri empty)" --rw=randrw --bs=4k --iodepth=64 --numjobs=4 --size=16M --offset_increment=16M \
    --verify=xxhash --verify_fatal=1 --output=fio.out >/dev/null || { cat fio.out; die "fio found a fault"; }
ends_well
