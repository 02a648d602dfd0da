// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/openapi.h"

#include <algorithm>
#include <cctype>

#include "scheduler/hyperd/cost_question.h"
#include "scheduler/hyperd/schemas.h"
#include "scheduler/jobs/config.h"

namespace hyper::hyperd {

namespace {

Json reference(const std::string& schema) { return {{"$ref", "#/components/schemas/" + schema}}; }

Json content(const std::string& type, const Json& schema) { return {{type, {{"schema", schema}}}}; }

Json json_of(const Parameter& parameter) {
    Json schema = parameter.number_max > 0 ? Json{{"type", "integer"}, {"minimum", 0}, {"maximum", parameter.number_max}} : Json{{"type", "string"}};
    return {{"name", parameter.name}, {"in", parameter.in}, {"required", parameter.in == "path"}, {"description", parameter.description}, {"schema", schema}};
}

Json json_of(const Route& route) {
    Json operation{{"operationId", route.id}, {"summary", route.summary}, {"description", std::string("needs the scope ") + scope_name(route.scope)}};
    if (!route.parameters.empty()) operation["parameters"] = Json::array();
    for (const Parameter& parameter : route.parameters) operation["parameters"].push_back(json_of(parameter));
    if (!route.body.empty()) operation["requestBody"] = {{"required", true}, {"content", content("application/json", reference(route.body))}};
    Json schema = route.reply.schema.empty() ? Json{{"type", "string"}} : reference(route.reply.schema);
    operation["responses"][std::to_string(route.reply.status)] = {{"description", route.reply.description}, {"content", content(route.reply.content_type, schema)}};
    operation["responses"]["default"] = {{"description", "what is wrong, and with which field"}, {"content", content("application/problem+json", reference("Problem"))}};
    return operation;
}

}  // namespace

Json openapi_document(const std::vector<Route>& routes, const std::string& version) {
    Json document{{"openapi", "3.1.0"},
                  {"info",
                   {{"title", "hyperd"},
                    {"version", version},
                    {"description", "When syncs of disks run, and what that was worth. On the Unix socket the peer's user is who asks; on TCP a bearer token says it."},
                    {"license", {{"name", "Apache-2.0"}, {"identifier", "Apache-2.0"}}}}},
                  {"servers", Json::array({{{"url", "http://localhost"}}})},
                  {"security", Json::array({{{"token", Json::array()}}})},
                  {"paths", Json::object()}};
    for (const Route& route : routes) {
        std::string method = route.method;
        std::ranges::transform(method, method.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        document["paths"][route.path][method] = json_of(route);
    }
    Json schemas = Json::parse(schemas_json, nullptr, false);
    schemas["JobDefinition"] = Json::parse(scheduler::job_schema(), nullptr, false);
    schemas["EstimateQuestion"] = Json::parse(estimate_question_schema(), nullptr, false);
    schemas["CompareQuestion"] = Json::parse(compare_question_schema(), nullptr, false);
    document["components"] = {{"schemas", std::move(schemas)}, {"securitySchemes", {{"token", {{"type", "http"}, {"scheme", "bearer"}}}}}};
    return document;
}

}  // namespace hyper::hyperd
