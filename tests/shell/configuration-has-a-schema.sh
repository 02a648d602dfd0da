#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need /usr/bin/python3
/usr/bin/python3 -c 'import jsonschema, tomllib' || skip "python3-jsonschema is not installed"
claim "the published schema of hyperd's configuration and its reader take and refuse the same files"
mkdir variants && cd variants
/usr/bin/python3 "$SRC/tests/scheduler/schema.py" "$BUILD/tests/config_schema" "$SRC/tests/scheduler/every-key.toml" || die "they differ"
