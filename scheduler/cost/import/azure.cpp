// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/import/azure.h"

#include <algorithm>
#include <cerrno>

#include "scheduler/cost/import/json.h"
#include "scheduler/cost/keys.h"

namespace hyper::scheduler {
namespace {

// "Cool LRS Data Stored" and "Cool Read Operations" without their class and redundancy.
std::string_view what_of_meter(std::string_view meter, std::string_view tier) {
    if (!meter.starts_with(tier)) return {};
    meter.remove_prefix(tier.size());
    if (meter.starts_with(" LRS")) meter.remove_prefix(4);
    return meter.starts_with(' ') ? meter.substr(1) : std::string_view();
}

std::optional<PriceKey> blob_key(const std::string& sku, const std::string& meter, const std::string& region) {
    for (std::string_view tier : {"Hot", "Cool", "Cold", "Archive"}) {
        if (sku != std::string(tier) + " LRS") continue;
        Place place{"azure", region, std::string(tier)};
        place.storage_class[0] = char(place.storage_class[0] | 0x20);
        std::string_view what = what_of_meter(meter, tier);
        if (what == "Data Stored") return storage_key(place);
        if (what == "Write Operations") return put_key(place);
        if (what == "Read Operations") return get_key(place);
        if (what == "Data Retrieval") return retrieval_key(place);
    }
    return std::nullopt;
}

std::optional<PriceKey> key_of(const JsonValue& item) {
    const std::string &service = item.text_of("serviceName"), &product = item.text_of("productName"), &sku = item.text_of("skuName"),
                      &meter = item.text_of("meterName"), &region = item.text_of("armRegionName");
    if (item.text_of("type") != "Consumption" || item.text_of("isPrimaryMeterRegion") == "false" || region.empty()) return std::nullopt;
    if (service == "Bandwidth" && product == "Rtn Preference: MGN") {
        PriceKey key{"azure", "net", "egress", region, "internet"};
        if (meter == "Standard Data Transfer In") key.family = "ingress";
        if (meter == "Standard Inter-Region Data Transfer") key.sku = "region";
        if (key.family == "ingress" || key.sku == "region" || meter == "Standard Data Transfer Out") return key;
    }
    if (service == "Storage" && product == "General Block Blob v2") return blob_key(sku, meter, region);
    if (service == "Storage" && product == "Standard HDD Managed Disks" && sku == "Snapshots LRS" && meter.ends_with("LRS Snapshots"))
        return snapshot_key({"azure", region, ""}, "standard");
    return std::nullopt;
}

std::string our_unit(const std::string& unit) {
    if (unit == "1 GB/Month") return "GB-month";
    if (unit == "1 GB") return "GB";
    if (unit == "10K") return "10k requests";
    if (unit == "1M") return "1M requests";
    return unit;
}

}  // namespace

Result<void> import_azure(std::istream& in, std::string_view file, PriceCollector& into) {
    JsonValue page = TRY(read_json_tree(in, file));
    const JsonValue* items = page.find("Items");
    if (items == nullptr || items->kind != JsonKind::array) return fail(EINVAL, "{}: has no \"Items\" (a page of the Retail Prices API is wanted)", file);
    for (const JsonValue& item : items->items) {
        auto key = key_of(item);
        if (!key) {
            into.pass();
            continue;
        }
        const std::string& meter = item.text_of("meterId");
        std::string name = item.text_of("productName") + ", " + item.text_of("meterName") + " in " + item.text_of("armRegionName");
        auto price = parse_decimal(item.text_of("retailPrice")), start = parse_decimal(item.text_of("tierMinimumUnits"));
        if (!price || !start) {
            into.refuse_key(*key, name, (price ? start : price).error().message);
            continue;
        }
        int days = key->family == "storage" ? days_min_of_class("azure", key->sku) : 0;
        into.add({.name = name, .key = *key, .attributes = (days > 0 ? "min=" + std::to_string(days) + "d;" : "") + "id=" + meter,
                  .unit = our_unit(item.text_of("unitOfMeasure")), .start = *start, .price = *price, .currency = item.text_of("currencyCode"),
                  .effective = item.text_of("effectiveStartDate"), .source = "Azure Retail Prices API"});
    }
    return {};
}

}  // namespace hyper::scheduler
