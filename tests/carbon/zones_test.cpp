// SPDX-License-Identifier: Apache-2.0
#include "carbon/zones.h"

#include <gtest/gtest.h>

#include <set>

namespace hyper::carbon {
namespace {

TEST(Zones, takes_the_twelve_first_ones_and_says_what_was_mapped) {
    int mapped = 0;
    ASSERT_EQ(first_zones().size(), 12u);
    for (std::string_view name : first_zones()) {
        auto zone = find_zone(name);
        ASSERT_TRUE(zone) << name;
        EXPECT_TRUE(zone->mapped_from.empty() || zone->mapped_from == name);
        mapped += !zone->mapped_from.empty();
    }
    EXPECT_EQ(mapped, 4);
    EXPECT_EQ(find_zone("US-MISO")->id, "US-MIDW-MISO");
    EXPECT_EQ(find_zone("CN-SH")->id, "CN");
}

TEST(Zones, knows_the_grid_of_cloud_regions) {
    EXPECT_EQ(find_zone("aws:eu-central-1")->id, "DE");
    EXPECT_EQ(find_zone("azure:westeurope")->id, "NL");
    EXPECT_EQ(find_zone("gcp:europe-west9")->id, "FR");
    EXPECT_EQ(find_zone("oci:us-ashburn-1")->id, "US-MIDA-PJM");
    EXPECT_EQ(find_zone("alibaba:cn-hangzhou")->id, "CN");
}

TEST(Zones, has_a_table_of_ids_without_repeats) {
    std::set<std::string> seen, vendors;
    for (const CloudRegion& region : cloud_regions()) {
        EXPECT_TRUE(seen.insert(region.vendor + ":" + region.region).second) << region.region;
        EXPECT_TRUE(find_zone(region.zone)) << region.zone;
        EXPECT_TRUE(find_zone(region.zone)->mapped_from.empty()) << region.zone;
        vendors.insert(region.vendor);
    }
    EXPECT_EQ(vendors, (std::set<std::string>{"alibaba", "aws", "azure", "gcp", "oci"}));
    EXPECT_GT(seen.size(), 250u);
}

TEST(Zones, says_what_is_near) {
    EXPECT_NE(find_zone("aws:eu-central-9").error().message.find("near it: eu-central-1"), std::string::npos);
    EXPECT_FALSE(find_zone("ibm:eu-de"));
    for (const char* name : {"", "germany", "de", "D", "DE-", "DE/..", "DEU"}) EXPECT_FALSE(find_zone(name)) << name;
}

}  // namespace
}  // namespace hyper::carbon
