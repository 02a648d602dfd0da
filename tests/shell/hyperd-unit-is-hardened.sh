#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hyperd's systemd unit is sound, and the service is confined: exposure 2.0 at most, as systemd itself judges it.
. "$(dirname "$0")/lib.sh"
need systemd-analyze

# The program is not installed here, nor its man page.
sed 's#^\(ExecStart[a-zA-Z]*\)=[^ ]*#\1=/bin/true#' "$BUILD/scheduler/hyperd/hyperd.service" >hyperd.service
exposed_at_most() { systemd-analyze security --offline=true --no-pager --threshold="$1" "$2" >said.log 2>&1; }
sound() { systemd-analyze verify --man=no "$@" >said.log 2>&1 && [ ! -s said.log ]; }

claim "the service runs the installed program, and looks at its configuration before"
grep -q '^ExecStart=/.*/bin/hyperd --config ' "$BUILD/scheduler/hyperd/hyperd.service" || die "ExecStart is not hyperd"
grep -q '^ExecStartPre=' "$BUILD/scheduler/hyperd/hyperd.service" && die "what hyperd could run without keeps it from starting"

claim "systemd understands every line of it"
sound ./hyperd.service || die "$(cat said.log)"

claim "the exposure of the service is 2.0 at most"
exposed_at_most 20 ./hyperd.service || die "$(grep -E '^✗|Overall' said.log)"

claim "clients keep their uids: the service has no user namespace of its own"
! grep -q '^PrivateUsers=' hyperd.service || die "PrivateUsers= would make every client's uid look the same"

claim "when it is stopped, hyperd ends its syncs itself"
grep -q '^KillMode=mixed' hyperd.service || die "systemd would end the syncs"

claim "the man page is sound, and names every option"
need podchecker
podchecker "$SRC/scheduler/hyperd/hyperd.pod" 2>pod.log || die "$(cat pod.log)"
for option in $("$hyperd" --help | grep -o -- '--[a-z-]*'); do
    [ "$option" = --help ] || grep -q -- "$option" "$SRC/scheduler/hyperd/hyperd.pod" || die "$option is not in the man page"
done

claim "the configuration in the man page is good"
sed -n '/^=head1 CONFIGURATION/,/^All keys/s/^ //p' "$SRC/scheduler/hyperd/hyperd.pod" | sed "s#/etc/hyper/tokens#$scratch/tokens#" >example.toml
(umask 077 && echo "dashboard read $(printf '%064d' 0)" >tokens)
"$hyperd" --check-config --config example.toml >said.log 2>&1 || die "$(cat said.log)"
