// SPDX-License-Identifier: Apache-2.0
// The OpenAPI 3.1 document of a table of routes.
#pragma once

#include "scheduler/hyperd/router.h"

namespace hyper::hyperd {

// With the schemas of schemas.json, which is built in, and those that are made of tables of keys: of a job, and of questions about costs.
Json openapi_document(const std::vector<Route>& routes, const std::string& version);

}  // namespace hyper::hyperd
