// SPDX-License-Identifier: Apache-2.0
// What syncs and the generations that they leave cost: at one target in lines, and at many in totals.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "tools/hyperctl/cost.h"
#include "tools/hyperctl/table.h"

namespace hyper::ctl {

namespace {

using namespace scheduler;

struct EstimateOptions {
    CostQuestion question;
    std::vector<std::string> to;
    bool json = false;
};

std::string quantity_text(const CostLine& line) {
    std::string text = fmt::format("{:.3f}", double(line.quantity) / double(line.unit.base_per_unit));
    text.erase(text.find_last_not_of('0') + 1);
    if (text.ends_with('.')) text.pop_back();
    return text == "0" && line.quantity > 0 ? "<0.001" : text;
}

Result<int> estimate(const EstimateOptions& options) {
    Prices prices = TRY(options.question.prices());
    std::optional<Place> to;
    if (!options.to.empty()) to = TRY(parse_place(options.to.front()));
    Estimate priced = TRY(price(options.question, prices, to));
    if (options.json) {
        print_json(json_of(priced));
        return exit_ok;
    }
    Table table({"ELEMENT", ">QUANTITY", "UNIT", ">PRICE", ">AMOUNT", "CURRENCY", "SINCE", "SOURCE"});
    for (const CostLine& line : priced.lines)
        table.add({line.element, quantity_text(line), std::string(line.unit.name), money_text(line.price), money_text(line.amount), line.currency,
                   instant_text(line.effective).substr(0, 10), line.source});
    table.print();
    fmt::print("total: {}\n", totals_text(priced.totals));
    return exit_ok;
}

// All classes of objects that have a price on that day.
std::vector<Place> all_targets(const Prices& prices, Instant when) {
    std::set<std::string> seen;
    std::vector<Place> places;
    for (const PriceList& list : prices.lists()) {
        Place place{list.key.vendor, list.key.region, list.key.sku};
        if (list.key.family == "storage" && list.effective <= when && seen.insert(place.text()).second) places.push_back(place);
    }
    return places;
}

Result<int> compare(const EstimateOptions& options) {
    Prices prices = TRY(options.question.prices());
    std::vector<Place> places;
    for (const std::string& text : options.to) places.push_back(TRY(parse_place(text)));
    if (places.empty()) places = all_targets(prices, TRY(options.question.when()));
    struct Row {
        Place place;
        Estimate estimate;
    };
    std::vector<Row> rows;
    Json json{{"targets", Json::array()}, {"not-priced", Json::array()}};
    std::string problems;
    for (const Place& place : places) {
        auto priced = price(options.question, prices, place);
        if (priced) {
            rows.push_back({place, std::move(*priced)});
            continue;
        }
        // What is missing in the question is missing for all of them.
        if (priced.error().code != ENOENT) return tl::unexpected(priced.error());
        problems += fmt::format("hyperctl: {} is not compared: {}\n", printable(place.text()), printable(priced.error().message));
        json["not-priced"].push_back({{"target", place.text()}, {"why", priced.error().message}});
    }
    // By currency, then by amount: amounts of two currencies have no order.
    auto rank = [](const Row& row) {
        auto first = row.estimate.totals.begin();
        return first == row.estimate.totals.end() ? std::pair(std::string(), Money{}) : std::pair(first->first, first->second);
    };
    std::stable_sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) { return rank(a) < rank(b); });
    Table table({"TARGET", ">TOTAL"});
    for (const Row& row : rows) {
        table.add({row.place.text(), totals_text(row.estimate.totals)});
        Json one{{"target", row.place.text()}};
        one.update(json_of(row.estimate));
        json["targets"].push_back(std::move(one));
    }
    options.json ? print_json(json) : table.print();
    std::fflush(stdout);
    fmt::print(stderr, "{}", problems);
    return problems.empty() ? exit_ok : exit_partial;
}

}  // namespace

void add_cost_estimate(CLI::App& cost, Command& chosen) {
    auto* command = cost.add_subcommand("estimate", "Tell what a sync, a month of syncs, or what is kept of them costs");
    auto options = std::make_shared<EstimateOptions>();
    options->question.add_to(*command);
    command->add_option("--to", options->to, "where it goes, as gcp:us-central1/standard; without it, to a place of your own")->type_name("PLACE/CLASS")->expected(1);
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine&) { return estimate(*options); };
    });
}

void add_cost_compare(CLI::App& cost, Command& chosen) {
    auto* command = cost.add_subcommand("compare", "Tell what the same costs at several targets");
    auto options = std::make_shared<EstimateOptions>();
    options->question.add_to(*command);
    command->add_option("--to", options->to, "a target; without any, all that have prices")->type_name("PLACE/CLASS")->expected(1)->take_all();
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine&) { return compare(*options); };
    });
}

}  // namespace hyper::ctl
