#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Includes point down only; each third-party library is included in its one place; every source file has its licence.
. "$(dirname "$0")/lib.sh"
exec python3 "$SRC/tests/shell/layers.py" "$SRC"
