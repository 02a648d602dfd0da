#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every test that the README's table of features names is there.
. "$(dirname "$0")/lib.sh"

claim "each name.sh in the README is a test that meson runs"
for name in $(grep -oE '`[a-z0-9-]+\.sh`' "$SRC/README.md" | tr -d '`'); do
    [ -f "$SRC/tests/shell/$name" ] || die "README.md names $name, which is not in tests/shell"
    grep -q "'${name%.sh}'" "$SRC/tests/shell/meson.build" || die "tests/shell/meson.build does not run $name"
done

claim "each Group.name in the README is a unit test"
for program in "$BUILD"/tests/*_test; do
    "$program" --gtest_list_tests | awk '/^[^ ]/ { group = $1 } /^ / { print group $1 }'
done >tests.txt
[ -s tests.txt ] || die "no unit test is built"
for name in $(grep -oE '`\*?[A-Z][A-Za-z0-9]+\.[a-z_0-9]*\*?`' "$SRC/README.md" | tr -d '`'); do
    pattern=$(sed 's/\./\\./; s/\*/.*/g' <<<"$name")
    grep -qE "^(.*/)?$pattern" tests.txt || die "README.md names $name, which no unit test is called"
done
