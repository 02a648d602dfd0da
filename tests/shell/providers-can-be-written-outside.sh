#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need cc meson

claim "the provider of HACKING.md builds outside the tree against the installed header"
meson install -C "$BUILD" --no-rebuild --tags devel --destdir "$scratch/installed" >install.log
header=$(find installed -name hyper-provider.h)
[ -n "$header" ] || die "the header is not installed"
sed -n '/^```c$/,/^```$/p' "$SRC/HACKING.md" | sed '1d;$d' >stripes.c
mkdir modules
cc -std=c11 -Wall -Wextra -Werror -I"$(dirname "$(dirname "$header")")" -shared -fPIC -o modules/hyper-provider-stripes.so stripes.c

claim "it can be checked, listed and read"
export HYPER_PROVIDERS=$scratch/modules
"$hyperctl" provider check modules/hyper-provider-stripes.so | grep -q 'stripes 1: good' || die "the check does not say that it is good"
"$hyperctl" provider list | grep -q '^stripes .*numbered sectors' || die "it is not listed"
"$hyperctl" info --json stripes:///1G >info.json
grep -q 'virtual-size.*1073741824' info.json || die "its size is wrong: $(cat info.json)"
python3 - <<'P'
import struct
with open("numbers.raw", "wb") as file:
    for sector in range(2 * 1024 * 1024):
        file.write(struct.pack("<Q", sector) * 64)
P
[ "$("$hyperctl" root stripes:///1G)" = "$("$hyperctl" root numbers.raw)" ] || die "other bytes are read"

claim "what it says of a wrong URI reaches the user"
"$hyperctl" info stripes:///x 2>err && die "a wrong size is taken"
grep -q 'try stripes:///1G' err || die "$(cat err)"
