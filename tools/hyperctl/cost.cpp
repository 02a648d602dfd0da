// SPDX-License-Identifier: Apache-2.0
// What syncs cost: the commands below `cost`, and what they share.
#include "tools/hyperctl/cost.h"

#include <cerrno>
#include <chrono>

#include "scheduler/calendar/duration.h"
#include "tools/hyperctl/size.h"

namespace hyper::ctl {

namespace {

using namespace scheduler;

Result<int64_t> size_of(const std::string& text, const char* option) {
    auto bytes = parse_size(text);
    if (!bytes) return fail(EINVAL, "{}: {}", option, bytes.error().message);
    if (*bytes > uint64_t{1} << 60) return fail(EINVAL, "{}: {} is more than 1 EiB", option, text);
    return int64_t(*bytes);
}

}  // namespace

void CostOptions::add_to(CLI::App& command) {
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

Result<CostQuestion> CostOptions::question() const {
    CostQuestion asked;
    if (!from.empty()) asked.from = TRY(parse_place(from));
    if (!changed.empty()) asked.changed_bytes = TRY(size_of(changed, "--changed"));
    if (!sent.empty()) asked.sent_bytes = TRY(size_of(sent, "--sent"));
    asked.part_bytes = TRY(size_of(part_size, "--part-size"));
    asked.runs = runs;
    if (!every.empty()) asked.every = TRY(parse_duration(every));
    if (!keep.empty()) asked.keep = TRY(parse_retention(keep));
    if (!disk.empty()) asked.disk_bytes = TRY(size_of(disk, "--disk"));
    if (!sent_before.empty()) asked.sent_before_bytes = TRY(size_of(sent_before, "--sent-before"));
    asked.when = day.empty() ? std::chrono::floor<Seconds>(std::chrono::system_clock::now()) : TRY(parse_instant(day));
    return asked;
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
