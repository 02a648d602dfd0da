// SPDX-License-Identifier: Apache-2.0
// What the module exports.
#include "providers/s3/connection.h"

const hyper_provider* hyper_provider_entry() { return &hyper::s3::provider_table(); }
