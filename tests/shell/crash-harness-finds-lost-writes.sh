#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The harness that kills at random instants (tests/crash) passes what is written with care, and sees what is not.
. "$(dirname "$0")/lib.sh"
need /usr/bin/python3
crash=$SRC/tests/crash/crash
control="/usr/bin/python3 $SRC/tests/crash/control"
export TMPDIR=$scratch

refuses() {  # TEXT N SEED COMMAND CHECK: it ends with 1 and says so
    local wanted=$1 status=0
    shift
    "$crash" "$@" >said.log 2>&1 || status=$?
    [ $status = 1 ] && grep -q "$wanted" said.log || die "$*: ended with $status: $(cat said.log)"
    head -n 1 said.log
}

claim "what the kernel has before it is promised is there after each kill"
"$crash" 60 1 "$control work kept" "$control check kept"

claim "what only the process has is seen to be lost"
refuses '^lost: ' 200 1 "$control work-careless buffered" "$control check buffered"

claim "kills that come too late show nothing, and that is said"
# With this seed the second run is given nearly as long as the first took.
refuses 'less than half' 2 2 '[ $RUN = 2 ] || sleep 0.5' true

claim "a command that fails by itself is told"
refuses 'ended with 3 by itself' 20 1 'exit 3' true

claim "nothing of a killed command is left running"
"$crash" 10 1 'bash -c "echo \$\$ >new; mv new alive; while true; do sleep 0.01; done" & sleep 0.2' \
    '[ ! -e alive ] || ! kill -0 "$(cat alive)"'
[ -e alive ] || die "none was started"
