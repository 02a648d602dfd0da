// SPDX-License-Identifier: Apache-2.0
#include "convert/vmdk/vmdk.h"

#include "tests/support/support.h"
