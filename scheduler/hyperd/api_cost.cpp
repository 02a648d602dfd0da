// SPDX-License-Identifier: Apache-2.0
// What syncs cost at list prices, as `hyperctl cost estimate` and `hyperctl cost compare` tell it.
#include "scheduler/hyperd/api.h"
#include "scheduler/hyperd/cost_question.h"
#include "scheduler/hyperd/views.h"

namespace hyper::hyperd {

namespace {

using scheduler::Comparison;

Instant now() { return std::chrono::floor<Seconds>(std::chrono::system_clock::now()); }

Json json_of(const scheduler::Estimate& estimate) {
    Json lines = Json::array(), totals = Json::object();
    for (const auto& line : estimate.lines)
        lines.push_back({{"element", line.element}, {"price_of", line.key.text()}, {"quantity", line.quantity}, {"counted_in", line.unit.base}, {"unit", line.unit.name},
                         {"price", money_text(line.price)}, {"currency", line.currency}, {"effective", instant_text(line.effective).substr(0, 10)},
                         {"source", line.source}, {"amount", money_text(line.amount)}});
    for (const auto& [currency, total] : estimate.totals) totals[currency] = money_text(total);
    return {{"lines", std::move(lines)}, {"totals", std::move(totals)}};
}

// Also where a price is missing: then there is no estimate.
http::Answer refused(const Error& error) { return problem(422, error.message, {"body", nullptr}); }

http::Answer estimate(Api& api, const Call& call) {
    auto question = parse_estimate_question(call.body.dump(), now());
    if (!question) return refused(question.error());
    auto priced = scheduler::estimate(*api.daemon.prices(), question->asked, question->to);
    return priced ? json_answer(json_of(*priced)) : refused(priced.error());
}

http::Answer compare(Api& api, const Call& call) {
    auto question = parse_compare_question(call.body.dump(), now());
    if (!question) return refused(question.error());
    auto made = scheduler::compare(*api.daemon.prices(), question->asked, question->targets);
    if (!made) return refused(made.error());
    Json targets = Json::array(), not_priced = Json::array();
    for (const Comparison::Target& target : made->targets) {
        Json one{{"target", target.place.text()}};
        one.update(json_of(target.estimate));
        targets.push_back(std::move(one));
    }
    for (const Comparison::NotPriced& one : made->not_priced) not_priced.push_back({{"target", one.place.text()}, {"why", one.why}});
    return json_answer({{"targets", std::move(targets)}, {"not_priced", std::move(not_priced)}});
}

}  // namespace

void add_cost_routes(std::vector<Route>& routes, Api& api) {
    auto with = [&](auto handler) { return [handler, &api](const Call& call) { return handler(api, call); }; };
    routes.push_back({"POST", "/v1/cost/estimate", "estimateCost", "What a sync, a month of syncs, or what is kept of them costs at list prices", Scope::read, {}, "EstimateQuestion",
                      {200, "CostEstimate", "lines, each with its price, day and source, and totals by currency"}, with(estimate)});
    routes.push_back({"POST", "/v1/cost/compare", "compareCosts", "What the same costs at several targets", Scope::read, {}, "CompareQuestion",
                      {200, "CostComparison", "the cheapest first, and what has no price"}, with(compare)});
}

}  // namespace hyper::hyperd
