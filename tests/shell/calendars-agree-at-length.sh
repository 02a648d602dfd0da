#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# As calendars-agree-with-others.sh, of 100,000 expressions.
CALENDARS=100000 exec bash "$(dirname "$0")/calendars-agree-with-others.sh"
