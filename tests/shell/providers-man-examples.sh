#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need qemu-nbd podchecker

pages=("$SRC"/providers/*/hyper-provider-*.pod)
claim "each provider has a man page, which is sound and names every option"
for module in "$BUILD"/providers/hyper-provider-*.so; do
    name=$(basename "$module" .so)
    page=$SRC/providers/${name#hyper-provider-}/$name.pod
    [ -e "$page" ] || die "$name has no man page"
done
for page in "${pages[@]}"; do podchecker "$page" 2>pod.log || die "$(cat pod.log)"; done
"$hyperctl" provider list --json >list.json
python3 - "$SRC" <<'P'
import json, sys
for one in json.load(open("list.json")):
    page = open(f"{sys.argv[1]}/providers/{one['name']}/hyper-provider-{one['name']}.pod").read()
    for option in one["options"].split():
        assert option in page, f"{one['name']}: option {option} is not in the man page"
P

claim "the examples of nbd, null and faulty run as written"
for name in nbd null faulty; do
    sed -n '/^=head1 EXAMPLES/,/^=head1 SEE ALSO/s/^ //p' "$SRC/providers/$name/hyper-provider-$name.pod" >"$name.examples"
    [ -s "$name.examples" ] || die "$name has no examples"
    mkdir "$name"
    (cd "$name" && PATH=$(dirname "$hyperctl"):$PATH bash -euo pipefail "../$name.examples") >"$name.log" 2>&1 || die "an example of $name failed"
done
servers+=($(pgrep -f "qemu-nbd.*$scratch/nbd/nbd.sock"))
