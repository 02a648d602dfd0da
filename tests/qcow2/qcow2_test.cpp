// SPDX-License-Identifier: Apache-2.0
#include "convert/qcow2/qcow2.h"

#include "tests/support/support.h"
