// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/import/power_feeds.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "scheduler/cost/import/feed_price.h"
#include "scheduler/cost/import/json.h"

namespace hyper::scheduler {
namespace {

Result<Instant> instant_of(const std::string& seconds) {
    int64_t count = 0;
    auto [at, error] = std::from_chars(seconds.data(), seconds.data() + seconds.size(), count);
    if (error != std::errc() || at != seconds.data() + seconds.size() || count < 0 || count > 253'402'300'799)
        return fail(EINVAL, "\"{}\" are no seconds since 1970", seconds.substr(0, 32));
    return Instant(Seconds(count));
}

}  // namespace

Result<PowerFeed> read_octopus(std::istream& in, std::string_view file) {
    JsonValue page = TRY(read_json_tree(in, file));
    const JsonValue* results = page.find("results");
    if (results == nullptr || results->kind != JsonKind::array) return fail(EINVAL, "{}: has no \"results\" (standard-unit-rates of Octopus are wanted)", file);
    PowerFeed feed{.currency = "GBP", .source = "Octopus Energy API"};
    for (const JsonValue& one : results->items) {
        // Rates without direct debit come a second time.
        if (one.text_of("payment_method") == "NON_DIRECT_DEBIT") continue;
        auto from = parse_instant(one.text_of("valid_from")), until = parse_instant(one.text_of("valid_to"));
        auto pence = parse_decimal(one.text_of("value_inc_vat"));
        if (!from || !until || !pence) {
            const Error& error = !from ? from.error() : !until ? until.error() : pence.error();
            return fail(EINVAL, "{}: rate from \"{}\": {}", file, one.text_of("valid_from"), error.message);
        }
        feed.steps.push_back({*from, *until, TRY(amount_of(*pence, 1, 100))});
    }
    std::sort(feed.steps.begin(), feed.steps.end(), [](const PowerStep& a, const PowerStep& b) { return a.from < b.from; });
    return feed;
}

Result<PowerFeed> read_energy_charts(std::istream& in, std::string_view file) {
    JsonValue page = TRY(read_json_tree(in, file));
    const JsonValue *times = page.find("unix_seconds"), *prices = page.find("price");
    if (times == nullptr || prices == nullptr || times->items.size() != prices->items.size())
        return fail(EINVAL, "{}: has not as many \"unix_seconds\" as \"price\" (/price of Energy-Charts is wanted)", file);
    std::string unit = page.text_of("unit");
    std::erase(unit, ' ');
    if (unit != "EUR/MWh") return fail(EINVAL, "{}: unit \"{}\" is not EUR/MWh", file, unit.substr(0, 32));
    PowerFeed feed{.currency = "EUR", .source = "Energy-Charts API"};
    for (size_t i = 0; i < times->items.size(); i++) {
        Instant from = TRY(instant_of(times->items[i].text));
        bool last = i + 1 == times->items.size();
        // The last one is as long as the one before it.
        if (last && i == 0) return fail(EINVAL, "{}: one price alone does not say how long it holds", file);
        Instant until = last ? from + (from - TRY(instant_of(times->items[i - 1].text))) : TRY(instant_of(times->items[i + 1].text));
        if (from >= until) return fail(EINVAL, "{}: time {} does not rise", file, instant_text(from));
        if (prices->items[i].kind == JsonKind::null) {
            feed.gaps++;
            continue;
        }
        auto price = parse_decimal(prices->items[i].text);
        if (!price) return fail(EINVAL, "{}: price at {}: {}", file, instant_text(from), price.error().message);
        feed.steps.push_back({from, until, TRY(amount_of(*price, 1, 1000))});
    }
    return feed;
}

std::string power_csv_header() { return "tariff,zone,window,start,end,price,currency,effective,source\n"; }

std::string power_csv_rows(const PowerFeed& feed, const std::string& tariff) {
    std::string text;
    for (const PowerStep& step : feed.steps)
        text += fmt::format("{},,,{},{},{},{},,{}\n", csv_field(tariff), instant_text(step.from), instant_text(step.until), money_text(step.price), feed.currency,
                            csv_field(feed.source));
    return text;
}

}  // namespace hyper::scheduler
