// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/keys.h"

#include <array>
#include <cerrno>
#include <charconv>

namespace hyper::scheduler {
namespace {

struct Services {
    std::string_view vendor, snapshots, objects;
};
constexpr std::array<Services, 4> services{{{"aws", "ebs", "s3"}, {"azure", "disk", "blob"}, {"gcp", "pd", "gcs"}, {"oci", "block", "object"}}};

// A vendor of one's own price file calls both what they are.
Services services_of(std::string_view vendor) {
    for (const Services& one : services)
        if (one.vendor == vendor) return one;
    return {vendor, "snapshot", "object"};
}

PriceKey object_key(const Place& place, const char* family, std::string sku) {
    return {place.vendor, std::string(services_of(place.vendor).objects), family, place.region, std::move(sku)};
}

// The parts of the world that OCI prices egress by, from the beginning of a region's name.
std::string_view oci_part(std::string_view region) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 9> parts{
        {{"us-", "na-eu"}, {"ca-", "na-eu"}, {"eu-", "na-eu"}, {"uk-", "na-eu"}, {"ap-", "apac-sa"}, {"sa-", "apac-sa"}, {"me-", "me-af"}, {"af-", "me-af"}, {"il-", "me-af"}}};
    for (auto [prefix, part] : parts)
        if (region.starts_with(prefix)) return part;
    return {};
}

struct ClassDays {
    std::string_view vendor, storage_class;
    int days;
};
constexpr ClassDays class_days[] = {
    {"aws", "ia", 30},       {"aws", "onezone-ia", 30}, {"aws", "glacier-ir", 90}, {"aws", "glacier", 90},  {"aws", "deep-archive", 180},
    {"azure", "cool", 30},   {"azure", "cold", 90},     {"azure", "archive", 180}, {"gcp", "nearline", 30}, {"gcp", "coldline", 90},
    {"gcp", "archive", 365}, {"oci", "ia", 31},         {"oci", "archive", 90},
};

}  // namespace

Result<Place> parse_place(std::string_view text) {
    size_t colon = text.find(':'), slash = text.find('/');
    Place place;
    if (colon != text.npos && (slash == text.npos || slash > colon)) {
        place.vendor = text.substr(0, colon);
        place.region = text.substr(colon + 1, slash == text.npos ? text.npos : slash - colon - 1);
        if (slash != text.npos) place.storage_class = text.substr(slash + 1);
    }
    if (place.vendor.empty() || place.region.empty() || (slash != text.npos && place.storage_class.empty()))
        return fail(EINVAL, "\"{}\" is no place (try aws:us-east-1, or aws:us-east-1/standard for a class of its object storage)", text.substr(0, 64));
    return place;
}

PriceKey snapshot_key(const Place& place, std::string_view sku) {
    return {place.vendor, std::string(services_of(place.vendor).snapshots), "snapshot", place.region, std::string(sku)};
}
PriceKey block_api_key(const Place& place, std::string_view call) {
    return {place.vendor, std::string(services_of(place.vendor).snapshots), "direct", place.region, std::string(call)};
}
PriceKey storage_key(const Place& place) { return object_key(place, "storage", place.storage_class); }
PriceKey put_key(const Place& place) { return object_key(place, "requests", place.storage_class + "-put"); }
PriceKey get_key(const Place& place) { return object_key(place, "requests", place.storage_class + "-get"); }
PriceKey retrieval_key(const Place& place) { return object_key(place, "retrieval", place.storage_class); }
PriceKey egress_key(const Place& place) { return {place.vendor, "net", "egress", place.region, "internet"}; }
PriceKey ingress_key(const Place& place) { return {place.vendor, "net", "ingress", place.region, "internet"}; }

Result<const PriceList*> find_price(const Prices& prices, const PriceKey& key, Instant day) {
    auto found = prices.find(key, day);
    if (found) return found;
    PriceKey wider = key;
    if (wider.vendor == "oci" && wider.family == "egress") {
        wider.region = oci_part(key.region);
        if (auto part = prices.find(wider, day)) return part;
    }
    wider.region = "any";
    if (auto any = prices.find(wider, day)) return any;
    wider.sku = "any";
    if (auto any = prices.find(wider, day)) return any;
    return found;
}

Result<const PriceList*> find_cross_region_price(const Prices& prices, const Place& from, std::string_view to_region, Instant day) {
    PriceKey key = egress_key(from);
    key.sku = "to-" + std::string(to_region);
    if (auto pair = prices.find(key, day)) return pair;
    key.sku = "region";
    return find_price(prices, key, day);
}

int days_min_of_class(std::string_view vendor, std::string_view storage_class) {
    for (const ClassDays& one : class_days)
        if (one.vendor == vendor && one.storage_class == storage_class) return one.days;
    return 0;
}

int64_t hours_min_of(const PriceList& list) {
    std::string_view rest = list.attributes;
    while (!rest.empty()) {
        size_t end = std::min(rest.find(';'), rest.size());
        std::string_view one = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        if (!one.starts_with("min=") || !one.ends_with('d')) continue;
        int days = 0;
        auto [at, error] = std::from_chars(one.data() + 4, one.data() + one.size() - 1, days);
        if (error == std::errc() && at == one.data() + one.size() - 1 && days > 0) return int64_t{days} * 24;
    }
    return 0;
}

}  // namespace hyper::scheduler
