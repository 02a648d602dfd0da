#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hypernbd's systemd units are sound, and the service is confined: exposure 2.0 at most, as systemd itself judges it.
. "$(dirname "$0")/lib.sh"
need systemd-analyze

for unit in hypernbd.service hypernbd.socket; do
    # The program is not installed here, nor its man page.
    sed 's#^ExecStart=[^ ]*#ExecStart=/bin/true#' "$BUILD/nbdserver/$unit" >$unit
done
# By the table of systemd-analyze; the score is given in tenths as a threshold.
exposed_at_most() { systemd-analyze security --offline=true --no-pager --threshold="$1" "$2" >said.log 2>&1; }
sound() { systemd-analyze verify --man=no "$@" >said.log 2>&1 && [ ! -s said.log ]; }

claim "the service runs the installed program"
grep -q '^ExecStart=/.*/bin/hypernbd ' "$BUILD/nbdserver/hypernbd.service" || die "ExecStart is not hypernbd"

claim "systemd understands every line of both units"
sound ./hypernbd.service ./hypernbd.socket || die "$(cat said.log)"

claim "the exposure of the service is 2.0 at most"
exposed_at_most 20 ./hypernbd.service || die "$(grep -E '^✗|Overall' said.log)"

claim "both checks see a unit that is worse"
mkdir worse
grep -vE '^(Protect|Private|Capability|SystemCallFilter)' hypernbd.service >worse/hypernbd.service
exposed_at_most 20 worse/hypernbd.service && die "a unit without protection passed"
sed 's/^ProtectClock=/ProtektClock=/' hypernbd.service >worse/hypernbd.service
sound worse/hypernbd.service && die "a misspelt line passed"

claim "clients keep their uids: the service has no user namespace of its own"
! grep -q '^PrivateUsers=' hypernbd.service || die "PrivateUsers= would make every client's uid look the same"
