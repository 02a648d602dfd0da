// SPDX-License-Identifier: Apache-2.0
#include "catalog/catalog.h"

#include "tests/support/support.h"
