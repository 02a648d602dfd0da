#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Next-run times are those of croniter and systemd, but where a rule that is written down makes a difference.
. "$(dirname "$0")/lib.sh"
need /usr/bin/python3 systemd-analyze
/usr/bin/python3 -c 'import croniter, zoneinfo' || skip "python3-croniter is not installed"
claim "of ${CALENDARS:-6000} random expressions, zones and instants no difference is unexplained"
"$SRC/tests/calendar/compare" "$BUILD/tests/next_runs" "${CALENDARS:-6000}" >compare.log || die "$(tail -n 20 compare.log)"
tail -n 6 compare.log
