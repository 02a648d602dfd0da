// SPDX-License-Identifier: Apache-2.0
// What syncs cost: the commands below `cost`, and what they share.
#include "tools/hyperctl/cost.h"

#include <cerrno>
#include <chrono>

#include "scheduler/calendar/duration.h"
#include "scheduler/cost/kept_generations.h"
#include "scheduler/cost/shipped.h"
#include "tools/hyperctl/size.h"

namespace hyper::ctl {

namespace {

using namespace scheduler;

constexpr int64_t month_s = 730 * 3600;

Result<int64_t> size_of(const std::string& text, const char* option) {
    auto bytes = parse_size(text);
    if (!bytes) return fail(EINVAL, "{}: {}", option, bytes.error().message);
    if (*bytes > uint64_t{1} << 60) return fail(EINVAL, "{}: {} is more than 1 EiB", option, text);
    return int64_t(*bytes);
}

Result<int64_t> runs_a_month(const CostQuestion& question) {
    if (question.runs < 0) return fail(EINVAL, "--runs: {} is below 0", question.runs);
    if (question.runs > 0 || question.every.empty()) return std::max<int64_t>(question.runs, 1);
    int64_t every_s = TRY(parse_duration(question.every)).count();
    if (every_s < 1) return fail(EINVAL, "--every: {} is no interval", question.every);
    return (month_s + every_s - 1) / every_s;
}

Result<Estimate> price_syncs(const CostQuestion& question, const Prices& prices, const std::optional<Place>& to, Instant when) {
    SyncToPrice syncs;
    if (!question.from.empty()) syncs.from = TRY(parse_place(question.from));
    syncs.to = to;
    syncs.changed_bytes = TRY(size_of(question.changed, "--changed"));
    syncs.sent_bytes = question.sent.empty() ? syncs.changed_bytes : TRY(size_of(question.sent, "--sent"));
    syncs.part_bytes = TRY(size_of(question.part_size, "--part-size"));
    syncs.runs = TRY(runs_a_month(question));
    if (!question.sent_before.empty()) syncs.sent_before_bytes = TRY(size_of(question.sent_before, "--sent-before"));
    return estimate_syncs(prices, syncs, when);
}

Result<Estimate> price_generations(const CostQuestion& question, const Prices& prices, const Place& at, Instant when) {
    if (question.disk.empty() || question.every.empty())
        return fail(EINVAL, "--keep: how much data has the disk (--disk SIZE), and how often is there a generation (--every 24h)?");
    GenerationPlan plan;
    plan.disk_bytes = TRY(size_of(question.disk, "--disk"));
    const std::string& change = question.sent.empty() ? question.changed : question.sent;
    if (!change.empty()) plan.change_bytes = TRY(size_of(change, "--changed"));
    plan.interval = TRY(parse_duration(question.every));
    plan.keep = TRY(parse_retention(question.keep));
    const PriceList* list = TRY(find_price(prices, at.storage_class.empty() ? snapshot_key(at, "standard") : storage_key(at), when));
    plan.hours_min = hours_min_of(*list);
    KeptGenerations kept = TRY(keep_generations(plan));
    return estimate_storage(prices, {at, kept.stored_bytes, kept.early_byte_hours}, when);
}

}  // namespace

void CostQuestion::add_to(CLI::App& command) {
    command.add_option("--from", from, "where the disk is read, as aws:us-east-1, or with a class of objects; without it, at a place of your own")->type_name("PLACE");
    command.add_option("--changed", changed, "bytes that a sync reads")->type_name("SIZE");
    command.add_option("--sent", sent, "bytes that a sync sends, if compression makes them fewer")->type_name("SIZE");
    command.add_option("--part-size", part_size, "bytes that a request writes or reads")->type_name("SIZE");
    command.add_option("--runs", runs, "syncs a month")->type_name("N");
    command.add_option("--every", every, "a sync, or a generation, each so long")->type_name("DURATION");
    command.add_option("--disk", disk, "data on the disk, for --keep")->type_name("SIZE");
    command.add_option("--keep", keep, "price a month of the generations that these rules keep")->type_name("RULES");
    command.add_option("--sent-before", sent_before, "what the account has sent from there this month")->type_name("SIZE");
    command.add_option("--day", day, "prices of that day, not of today")->type_name("DATE");
    command.add_option("--prices", price_files, "a price file, whose prices count before the built-in ones")->type_name("FILE")->expected(1)->take_all();
}

Result<Prices> CostQuestion::prices() const {
    Prices prices = shipped_prices();
    for (const std::string& file : price_files) {
        auto own = CsvTable::read(file).and_then([](const CsvTable& table) { return Prices::read(table); });
        if (!own) return fail(own.error().code, "price file {}: {}", file, own.error().message);
        prices.add(*own);
    }
    return prices;
}

Result<Instant> CostQuestion::when() const {
    if (!day.empty()) return parse_instant(day);
    return std::chrono::floor<Seconds>(std::chrono::system_clock::now());
}

Result<Estimate> price(const CostQuestion& question, const Prices& prices, const std::optional<Place>& to) {
    if (question.changed.empty() && question.keep.empty())
        return fail(EINVAL, "what is to be priced? --changed SIZE for syncs, --keep RULES for what is kept of them");
    Instant when = TRY(question.when());
    Estimate estimate;
    if (!question.changed.empty()) estimate = TRY(price_syncs(question, prices, to, when));
    if (question.keep.empty()) return estimate;
    if (!to) return fail(EINVAL, "--keep: storage of your own has no price (--to PLACE/CLASS)");
    return sum(std::move(estimate), TRY(price_generations(question, prices, *to, when)));
}

std::string totals_text(const std::map<std::string, Money>& totals) {
    std::string text;
    for (const auto& [currency, total] : totals) text += (text.empty() ? "" : " + ") + money_text(total) + " " + currency;
    return text.empty() ? "0" : text;
}

Json json_of(const Estimate& estimate) {
    Json lines = Json::array(), totals = Json::object();
    for (const CostLine& line : estimate.lines)
        lines.push_back({{"element", line.element}, {"price-of", line.key.text()}, {"quantity", line.quantity}, {"counted-in", line.unit.base}, {"unit", line.unit.name},
                         {"price", money_text(line.price)}, {"currency", line.currency}, {"effective", instant_text(line.effective).substr(0, 10)},
                         {"source", line.source}, {"amount", money_text(line.amount)}});
    for (const auto& [currency, total] : estimate.totals) totals[currency] = money_text(total);
    return {{"lines", std::move(lines)}, {"totals", std::move(totals)}};
}

void add_cost(CLI::App& app, Command& chosen) {
    auto* cost = app.add_subcommand("cost", "Tell what syncs cost at list prices, and make price files of vendors' feeds");
    cost->require_subcommand(1);
    add_cost_import(*cost, chosen);
    add_cost_estimate(*cost, chosen);
    add_cost_compare(*cost, chosen);
}

}  // namespace hyper::ctl
