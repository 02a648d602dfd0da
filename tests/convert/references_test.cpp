// SPDX-License-Identifier: Apache-2.0
#include "convert/image.h"

#include "tests/support/support.h"
