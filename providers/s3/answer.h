// SPDX-License-Identifier: Apache-2.0
// What all files of S3 speak: answers of HTTP on one side, a provider's failures on the other.
#pragma once

#include "blockengine/http/http.h"
#include "providers/provider.h"

namespace hyper::s3 {

using provider::failed;
using provider::Failure;
using provider::Outcome;

using Headers = HttpHeaders;

}  // namespace hyper::s3
