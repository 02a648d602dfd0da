// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/import/oci.h"

#include <cerrno>

#include "scheduler/cost/import/json.h"
#include "scheduler/cost/keys.h"

namespace hyper::scheduler {
namespace {

struct Part {
    std::string_view number;
    std::string_view service, family, region, sku;
};
// Requests of all classes and both kinds have one price, and one free allowance.
constexpr Part parts[] = {
    {"B91628", "object", "storage", "any", "standard"}, {"B93000", "object", "storage", "any", "ia"},
    {"B91633", "object", "storage", "any", "archive"},  {"B93001", "object", "retrieval", "any", "ia"},
    {"B91627", "object", "requests", "any", "any"},
    {"B88327", "net", "egress", "na-eu", "internet"},   {"B93455", "net", "egress", "apac-sa", "internet"},
    {"B93456", "net", "egress", "me-af", "internet"},
};

std::string our_unit(const std::string& metric) {
    if (metric == "Gigabyte Storage Capacity Per Month") return "GB-month";
    if (metric == "10,000 Requests Per Month") return "10k requests";
    if (metric == "GB Storage Retrieved Per Month") return "GB";
    if (metric == "Gigabyte Outbound Data Transfer Per Month") return "GB";
    return metric;
}

Result<std::vector<FeedPrice>> tiers_of(const JsonValue& product, const FeedPrice& common) {
    std::vector<FeedPrice> tiers;
    const JsonValue* currencies = product.find("currencyCodeLocalizations");
    if (currencies == nullptr || currencies->items.size() != 1) return fail(EINVAL, "has not one currency");
    const JsonValue* prices = currencies->items[0].find("prices");
    if (prices == nullptr) return fail(EINVAL, "has no prices");
    for (const JsonValue& price : prices->items) {
        if (price.text_of("model") != "PAY_AS_YOU_GO") continue;
        FeedPrice tier = common;
        const std::string &from = price.text_of("rangeMin"), &until = price.text_of("rangeMax");
        tier.start = TRY(parse_decimal(from.empty() ? "0" : from));
        // The last range ends at a number that means no end, in some lists.
        if (!until.empty() && until.size() < 12) tier.end = TRY(parse_decimal(until));
        tier.price = TRY(parse_decimal(price.text_of("value")));
        tier.currency = currencies->items[0].text_of("currencyCode");
        tiers.push_back(std::move(tier));
    }
    if (tiers.empty()) return fail(EINVAL, "has no price of pay as you go");
    return tiers;
}

}  // namespace

Result<void> import_oci(std::istream& in, std::string_view file, const std::string& effective, PriceCollector& into) {
    JsonValue list = TRY(read_json_tree(in, file));
    const JsonValue* items = list.find("items");
    if (items == nullptr || items->kind != JsonKind::array) return fail(EINVAL, "{}: has no \"items\" (the list of products is wanted)", file);
    const std::string& day = effective.empty() ? list.text_of("lastUpdated") : effective;
    if (day.empty()) return fail(EINVAL, "{}: has no \"lastUpdated\": from which day do its prices hold? (--effective DATE)", file);
    for (const JsonValue& product : items->items) {
        const std::string& number = product.text_of("partNumber");
        bool used = false;
        for (const Part& part : parts) {
            if (part.number != number) continue;
            used = true;
            PriceKey key{"oci", std::string(part.service), std::string(part.family), std::string(part.region), std::string(part.sku)};
            int days = part.family == "storage" ? days_min_of_class("oci", part.sku) : 0;
            FeedPrice common{.name = product.text_of("displayName") + " (" + number + ")", .key = key,
                             .attributes = (days > 0 ? "min=" + std::to_string(days) + "d;" : "") + "id=" + number,
                             .unit = our_unit(product.text_of("metricName")), .effective = day, .source = "Oracle price list API"};
            auto tiers = tiers_of(product, common);
            if (!tiers) {
                into.refuse_key(key, common.name, tiers.error().message);
                continue;
            }
            for (FeedPrice& tier : *tiers) into.add(std::move(tier));
        }
        if (!used) into.pass();
    }
    return {};
}

}  // namespace hyper::scheduler
