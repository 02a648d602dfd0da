// SPDX-License-Identifier: Apache-2.0
#include "catalog/catalog.h"
