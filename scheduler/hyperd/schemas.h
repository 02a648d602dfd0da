// SPDX-License-Identifier: Apache-2.0
// The schemas of the API's answers, which are built in: schemas.json.
#pragma once

#include <string_view>

namespace hyper::hyperd {

extern const std::string_view schemas_json;

}  // namespace hyper::hyperd
