#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need nbdkit

refused() {  # WORDS PARAMETER...: nbdkit ends before it serves, and says WORDS
    local words=$1
    shift
    ! nbdkit -U - "$plugin" "$@" --run true >said 2>&1 || die "$*: accepted"
    grep -q -- "$words" said || die "$*: said $(cat said)"
}
make_disk one-sector disk.raw
echo "this is no qcow2" >text.qcow2

claim "wrong parameters are told before the server starts"
refused "no source given"
refused "missing.raw" missing.raw
refused "format=tar" disk.raw format=tar
refused "thread_model=many" disk.raw thread_model=many
refused "unknown parameter" disk.raw colour=blue
refused "blue" disk.raw cluster_size=blue

claim "a lone image that cannot be read is told before the server starts"
refused "text.qcow2" text.qcow2

claim "two images of one name are told before the server starts"
mkdir other
cp disk.raw other/disk.raw
refused "disk" disk.raw other/disk.raw
