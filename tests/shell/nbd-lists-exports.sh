#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need nbdkit nbdinfo python3

mkdir -p images/web01
make_disk random images/web01/root.raw
make_disk empty images/data.raw

claim "every disk is listed in every format, with a description"
serve_nbd images
nbdinfo --list --json "$(uri '')" >list.json
python3 - <<'PYTHON'
import json
listed = {e["export-name"]: e for e in json.load(open("list.json"))["exports"]}
for disk, size in ("web01/root", 96 * 2**20 + 512), ("data", 10 * 2**20):
    assert listed[disk]["export-size"] == size, listed[disk]
    assert listed[disk]["description"], listed[disk]
    assert listed[disk]["is_read_only"] and listed[disk]["can_multi_conn"] and listed[disk]["can_cache"]
    assert disk + ".monolithicFlat-flat.vmdk" in listed
PYTHON

claim "several disks have no default"
! nbdinfo "$(uri '')" 2>refused || die "the default export opened"

claim "an unknown name is refused and the server lives"
! nbdinfo "$(uri nothing)" 2>refused || die "an unknown export opened"
nbdinfo --size "$(uri data)" >/dev/null

claim "the only disk's raw view is the default"
serve_nbd images/web01/root.raw
[ "$(nbdinfo --size "$(uri '')")" = $((96 * 1024 * 1024 + 512)) ] || die "the default has another size"
