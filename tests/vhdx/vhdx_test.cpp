// SPDX-License-Identifier: Apache-2.0
#include "convert/vhdx/vhdx.h"

#include "tests/support/support.h"
