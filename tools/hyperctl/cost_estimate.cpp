// SPDX-License-Identifier: Apache-2.0
// What syncs and the generations that they leave cost: at one target in lines, and at many in totals.
#include <fmt/format.h>

#include "scheduler/cost/shipped.h"
#include "tools/hyperctl/cost.h"
#include "tools/hyperctl/table.h"

namespace hyper::ctl {

namespace {

using namespace scheduler;

struct EstimateOptions {
    CostOptions asked;
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
    Prices prices = TRY(read_prices(options.asked.price_files));
    CostQuestion question = TRY(options.asked.question());
    std::optional<Place> to;
    if (!options.to.empty()) to = TRY(parse_place(options.to.front()));
    Estimate priced = TRY(scheduler::estimate(prices, question, to));
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

Result<int> compare(const EstimateOptions& options) {
    Prices prices = TRY(read_prices(options.asked.price_files));
    CostQuestion question = TRY(options.asked.question());
    std::vector<Place> places;
    for (const std::string& text : options.to) places.push_back(TRY(parse_place(text)));
    Comparison made = TRY(scheduler::compare(prices, question, std::move(places)));
    Json json{{"targets", Json::array()}, {"not-priced", Json::array()}};
    Table table({"TARGET", ">TOTAL"});
    for (const Comparison::Target& target : made.targets) {
        table.add({target.place.text(), totals_text(target.estimate.totals)});
        Json one{{"target", target.place.text()}};
        one.update(json_of(target.estimate));
        json["targets"].push_back(std::move(one));
    }
    for (const Comparison::NotPriced& one : made.not_priced) json["not-priced"].push_back({{"target", one.place.text()}, {"why", one.why}});
    options.json ? print_json(json) : table.print();
    std::fflush(stdout);
    for (const Comparison::NotPriced& one : made.not_priced) fmt::print(stderr, "hyperctl: {} is not compared: {}\n", printable(one.place.text()), printable(one.why));
    return made.not_priced.empty() ? exit_ok : exit_partial;
}

}  // namespace

void add_cost_estimate(CLI::App& cost, Command& chosen) {
    auto* command = cost.add_subcommand("estimate", "Tell what a sync, a month of syncs, or what is kept of them costs");
    auto options = std::make_shared<EstimateOptions>();
    options->asked.add_to(*command);
    command->add_option("--to", options->to, "where it goes, as gcp:us-central1/standard; without it, to a place of your own")->type_name("PLACE/CLASS")->expected(1);
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine&) { return estimate(*options); };
    });
}

void add_cost_compare(CLI::App& cost, Command& chosen) {
    auto* command = cost.add_subcommand("compare", "Tell what the same costs at several targets");
    auto options = std::make_shared<EstimateOptions>();
    options->asked.add_to(*command);
    command->add_option("--to", options->to, "a target; without any, all that have prices")->type_name("PLACE/CLASS")->expected(1)->take_all();
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine&) { return compare(*options); };
    });
}

}  // namespace hyper::ctl
