// SPDX-License-Identifier: Apache-2.0
#include "convert/vhd/vhd.h"

#include "tests/support/support.h"
