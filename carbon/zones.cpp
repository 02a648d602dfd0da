// SPDX-License-Identifier: Apache-2.0
#include "carbon/zones.h"

#include <algorithm>
#include <cerrno>

#include "blockengine/base/csv.h"
#include "carbon/tables.h"

namespace hyper::carbon {
namespace {

struct Alias {
    std::string_view old_name, id;
};
// Electricity Maps renamed Australia's zones and Midcontinent ISO, and has one zone for China (config/zones of electricitymaps-contrib).
constexpr Alias aliases[] = {{"AUS-NSW", "AU-NSW"}, {"CN-BJ", "CN"}, {"CN-SH", "CN"}, {"US-MISO", "US-MIDW-MISO"}};

// "DE", "US-CAL-CISO", "DK-DK1".
bool looks_like_id(std::string_view name) {
    auto upper = [](char c) { return c >= 'A' && c <= 'Z'; };
    if (name.size() < 2 || name.size() > 16 || !upper(name[0]) || !upper(name[1]) || name.back() == '-') return false;
    if (name.size() > 2 && name[2] != '-') return false;
    return std::all_of(name.begin(), name.end(), [&](char c) { return upper(c) || (c >= '0' && c <= '9') || c == '-'; });
}

}  // namespace

const std::vector<CloudRegion>& cloud_regions() {
    static const std::vector<CloudRegion> regions = [] {
        std::vector<CloudRegion> read;
        auto table = CsvTable::parse(cloud_regions_csv, "cloud-regions.csv");
        if (!table) return read;  // a test looks
        for (size_t row = 0; row < table->row_count(); row++)
            read.push_back({table->cell(row, 0), table->cell(row, 1), table->cell(row, 2), table->cell(row, 3)});
        return read;
    }();
    return regions;
}

const std::vector<std::string_view>& first_zones() {
    static const std::vector<std::string_view> zones{"US-CAL-CISO", "US-NW-PACW", "US-MISO", "DE",    "GB",    "SE",
                                                     "SG",          "JP-TK",      "AUS-NSW", "IN-NO", "CN-BJ", "CN-SH"};
    return zones;
}

Result<Zone> find_zone(std::string_view name) {
    for (const Alias& alias : aliases)
        if (name == alias.old_name) return Zone{std::string(alias.id), std::string(name)};
    size_t colon = name.find(':');
    if (colon == name.npos) {
        if (looks_like_id(name)) return Zone{std::string(name), {}};
        return fail(EINVAL, "zone \"{}\" is no id of Electricity Maps (try DE, US-CAL-CISO, or a cloud's region: aws:eu-central-1)",
                    name.substr(0, 64));
    }
    std::string_view vendor = name.substr(0, colon), region = name.substr(colon + 1);
    std::string near;
    bool vendor_known = false;
    for (const CloudRegion& one : cloud_regions()) {
        if (one.vendor != vendor) continue;
        vendor_known = true;
        if (one.region == region) return Zone{one.zone, std::string(name)};
        if (region.size() >= 2 && one.region.starts_with(region.substr(0, 4))) near += (near.empty() ? "; near it: " : ", ") + one.region;
    }
    if (!vendor_known)
        return fail(EINVAL, "zone \"{}\": no cloud \"{}\" (try aws, azure, gcp, oci or alibaba)", name.substr(0, 64), vendor.substr(0, 32));
    return fail(EINVAL, "zone \"{}\": {} has no region \"{}\"{}", name.substr(0, 64), vendor, region.substr(0, 32), near);
}

}  // namespace hyper::carbon
