#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need qemu-img nbdinfo podchecker

claim "the examples of the man page run as written"
mkdir images
make_disk random web01.raw
qemu-img convert -f raw -O qcow2 web01.raw images/web01.qcow2
qemu-img snapshot -c before images/web01.qcow2
rm web01.raw
export XDG_RUNTIME_DIR=$scratch/run
mkdir -m 700 run
serve_hypernbd --control run/hyper/control.sock images
mv "$socket" other.sock
printf '%s\n' 'hypernbd-trace 1' '0 1 read 0 0 4096 0 20000 web01' >web01.trace
printf '%s\n' 'carbon_table = "carbon.csv"' '[jobs.web01]' 'source = "images/web01.qcow2"' 'volume = "web01.volume"' 'rpo = "26h"' \
    'carbon = {source_zone = "DE", target_zone = "DE"}' >hyper.toml
awk 'BEGIN { print "time,DE"; for (h = 0; h < 744; h++) printf "2026-01-%02dT%02d:00Z,%d\n", h / 24 + 1, h % 24, 300 - 100 * (h % 24 == 13) }' >carbon.csv
sed -n '/^=head1 EXAMPLES/,/^=head1 SEE ALSO/s/^ //p' "$SRC/tools/hyperctl.pod" >examples
[ "$(grep -c '^hyperctl ' examples)" = 34 ] || die "the examples have changed: $(cat examples)"
PATH=$(dirname "$hyperctl"):$PATH bash -euo pipefail examples >examples.log 2>&1 || die "an example failed"

claim "the man page is sound, and names every option"
podchecker "$SRC/tools/hyperctl.pod" 2>pod.log || die "$(cat pod.log)"
commands=(cleanup "job list" "job add" "job show" "job delete" "job run" "job pause" "job resume" "job cancel" "job logs" "job watch" push "provider list" "provider disks" "provider check" "provider load" "provider reload" "provider unload" list info map check compare export root "export list" "export show" "export close" restore sync plan simulate "trace show" "trace replay"
    "volume create" "volume list" "volume log" "volume companions" "volume diff" "volume map" "volume verify" "volume repair" "volume prune" "volume pin"
    "volume unpin" "volume rollback" "volume hydrate" "volume commit" "volume discard" "volume clone" "volume delete")
for command in "${commands[@]}"; do
    for option in $("$hyperctl" $command --help | grep -o -- '--[a-z-]*'); do
        [ "$option" = --help ] || grep -q -- "$option" "$SRC/tools/hyperctl.pod" || die "$command $option is not in the man page"
    done
done

claim "the completion gives commands, options, values and file names"
. "$SRC/tools/hyperctl.bash-completion"
complete_words() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _hyperctl
    echo "${COMPREPLY[*]}"
}
[ "$(complete_words hyperctl com)" = compare ] || die "no command"
[ "$(complete_words hyperctl export --prof)" = --profile ] || die "no option"
[ "$(complete_words hyperctl export cl)" = close ] || die "no command below export"
[ "$(complete_words hyperctl trace "")" = "show replay" ] || die "no command below trace"
[ "$(complete_words hyperctl volume ver)" = verify ] || die "no command below volume"
[ "$(complete_words hyperctl volume log images/web)" = images/web01.qcow2 ] || die "no file below volume log"
[ "$(complete_words hyperctl export images/web)" = images/web01.qcow2 ] || die "no file to export"
[ "$(complete_words hyperctl export a b --profile az)" = azure ] || die "no value"
[ "$(complete_words hyperctl info images/web)" = images/web01.qcow2 ] || die "no file"
for command in "${commands[@]}"; do
    for option in $("$hyperctl" $command --help | grep -o -- '--[a-z-]*'); do
        complete_words hyperctl $command -- >/dev/null
        [[ " ${COMPREPLY[*]} " == *" $option "* ]] || die "$command $option is not completed"
    done
done
