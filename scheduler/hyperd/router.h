// SPDX-License-Identifier: Apache-2.0
// The table of what can be asked. The same rows serve the requests and make the OpenAPI document (openapi.h), so that neither can have what the
// other has not.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "scheduler/hyperd/problem.h"
#include "scheduler/hyperd/tokens.h"

namespace hyper::hyperd {

// What a handler is given: it has the route's scope, its path and its query fit the route's parameters, and its body is an object where the
// route wants one.
struct Call {
    const http::Request& request;
    Caller caller;
    std::map<std::string, std::string> path{};  // "{job}" by name
    Json body{};

    // Of the query; the default where it is not there. The router has seen that it is a number within bounds.
    uint64_t number(const std::string& name, uint64_t otherwise) const;
    const std::string& at(const std::string& name) const { return path.at(name); }
};

struct Parameter {
    std::string name, in;  // "path", "query" or "header"
    std::string description;
    uint64_t number_max = 0;  // of an integer; 0: it is text
};

struct Reply {
    int status = 200;
    std::string schema;  // a name of schemas.json; empty for text
    std::string description;
    std::string content_type = "application/json";
};

struct Route {
    std::string method, path;  // "/v1/jobs/{job}"
    std::string id, summary;   // of the operation
    Scope scope = Scope::read;
    std::vector<Parameter> parameters;
    std::string body;  // the schema of the request; empty: none is taken
    Reply reply;
    std::function<http::Answer(const Call&)> handler;
};

// Immutable, so thread-safe as its handlers are.
class Router {
  public:
    explicit Router(std::vector<Route> routes) : routes_(std::move(routes)) {}

    // 404, 405, 403, 422 by itself, as problems.
    http::Answer answer(const http::Request& request, const Caller& caller) const;
    const std::vector<Route>& routes() const { return routes_; }

  private:
    const std::vector<Route> routes_;
};

}  // namespace hyper::hyperd
