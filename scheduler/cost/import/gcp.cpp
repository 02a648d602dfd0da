// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/import/gcp.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "scheduler/cost/import/json.h"
#include "scheduler/cost/keys.h"

namespace hyper::scheduler {
namespace {

constexpr std::string_view classes[] = {"Standard", "Nearline", "Coldline", "Archive"};

bool has(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

// The key, without a region: descriptions are all that tells SKUs apart.
std::optional<PriceKey> key_of(std::string_view service, std::string_view description) {
    if (service == "Compute Engine") {
        if (description.starts_with("Storage PD Snapshot") && !has(description, "Multi")) return snapshot_key({"gcp", "", ""}, "standard");
        return std::nullopt;
    }
    if (service != "Cloud Storage") return std::nullopt;
    if (description == "Download Worldwide Destinations (excluding Asia & Australia)") return egress_key({"gcp", "", ""});
    for (std::string_view name : classes) {
        Place place{"gcp", "", std::string(name)};
        place.storage_class[0] = char(place.storage_class[0] | 0x20);
        std::string text(name);
        if (description == "Regional " + text + " Class A Operations") return put_key(place);
        if (description == "Regional " + text + " Class B Operations") return get_key(place);
        if (description == text + " Data Retrieval" || description == "Regional " + text + " Data Retrieval") return retrieval_key(place);
        bool regional = !has(description, "Dual-region") && !has(description, "Multi-region") && !has(description, "Early Delete") &&
                        !has(description, "Operations") && !has(description, "Retrieval");
        if (description.starts_with(text + " Storage ") && regional) return storage_key(place);
    }
    return std::nullopt;
}

std::string our_unit(const std::string& unit) {
    if (unit == "GiBy.mo") return "GiB-month";
    if (unit == "GiBy.d") return "GiB-day";
    if (unit == "GiBy.h") return "GiB-hour";
    if (unit == "GiBy") return "GiB";
    if (unit == "count") return "request";
    return unit;
}

// {"units": "0", "nanos": 20000000}: both of one sign.
Result<Money> money_of(const JsonValue& rate) {
    const JsonValue* price = rate.find("unitPrice");
    if (price == nullptr) return fail(EINVAL, "a rate without unitPrice");
    const std::string &units_text = price->text_of("units"), &nanos_text = price->text_of("nanos");
    Money units = TRY(parse_money(units_text.empty() ? "0" : units_text));
    int64_t nanos = 0;
    if (!nanos_text.empty()) {
        auto [at, error] = std::from_chars(nanos_text.data(), nanos_text.data() + nanos_text.size(), nanos);
        if (error != std::errc() || at != nanos_text.data() + nanos_text.size() || nanos <= -1'000'000'000 || nanos >= 1'000'000'000)
            return fail(EINVAL, "nanos \"{}\" are not within a unit", nanos_text.substr(0, 32));
    }
    if (__builtin_add_overflow(units.nanos, nanos, &units.nanos)) return fail(ERANGE, "a price that does not fit");
    return units;
}

// All tiers of a SKU in one region. A SKU whose rates are not understood is refused as a whole.
Result<void> add_rates(const JsonValue& sku, const FeedPrice& common, PriceCollector& into) {
    const JsonValue* infos = sku.find("pricingInfo");
    if (infos == nullptr || infos->items.empty()) return fail(EINVAL, "has no pricingInfo");
    const JsonValue& info = infos->items.back();  // the newest
    const JsonValue* expression = info.find("pricingExpression");
    const JsonValue* rates = expression == nullptr ? nullptr : expression->find("tieredRates");
    if (rates == nullptr || rates->items.empty()) return fail(EINVAL, "has no tieredRates");
    std::vector<FeedPrice> tiers;
    for (const JsonValue& rate : rates->items) {
        FeedPrice tier = common;
        tier.unit = our_unit(expression->text_of("usageUnit"));
        tier.start = TRY(parse_decimal(rate.text_of("startUsageAmount")));
        tier.price = TRY(money_of(rate));
        tier.currency = rate.find("unitPrice")->text_of("currencyCode");
        tier.effective = info.text_of("effectiveTime");
        tiers.push_back(std::move(tier));
    }
    for (FeedPrice& tier : tiers) into.add(std::move(tier));
    return {};
}

void take_sku(const JsonValue& sku, PriceCollector& into) {
    const JsonValue* category = sku.find("category");
    const JsonValue* regions = sku.find("serviceRegions");
    const std::string& description = sku.text_of("description");
    auto key = category == nullptr || category->text_of("usageType") != "OnDemand" ? std::nullopt : key_of(category->text_of("serviceDisplayName"), description);
    if (!key || regions == nullptr) return into.pass();
    FeedPrice common{.name = description + " (" + sku.text_of("skuId") + ")", .key = *key, .source = "Google Cloud Billing Catalog"};
    int days = key->family == "storage" ? days_min_of_class("gcp", key->sku) : 0;
    common.attributes = (days > 0 ? "min=" + std::to_string(days) + "d;" : "") + "id=" + sku.text_of("skuId");
    for (const JsonValue& region : regions->items) {
        common.key.region = region.text == "global" ? "any" : region.text;
        // Parts of the world, as "us" and "eur4", are for buckets in several regions.
        if (common.key.region != "any" && !has(region.text, "-")) continue;
        if (auto added = add_rates(sku, common, into); !added) into.refuse_key(common.key, common.name, added.error().message);
    }
}

}  // namespace

Result<void> import_gcp(std::istream& in, std::string_view file, PriceCollector& into) {
    JsonValue page = TRY(read_json_tree(in, file));
    const JsonValue* skus = page.find("skus");
    if (skus == nullptr || skus->kind != JsonKind::array) return fail(EINVAL, "{}: has no \"skus\" (a page of the Cloud Billing Catalog is wanted)", file);
    for (const JsonValue& sku : skus->items) take_sku(sku, into);
    return {};
}

}  // namespace hyper::scheduler
