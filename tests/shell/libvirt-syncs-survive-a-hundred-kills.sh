#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# libvirt-syncs-survive-kills.sh at more instants.
KILLS=${KILLS:-100} exec bash "$(dirname "$0")/libvirt-syncs-survive-kills.sh"
