// SPDX-License-Identifier: Apache-2.0
#include "carbon/table_signal.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hyper::carbon {
namespace {

Result<std::map<std::string, AverageSeries>> read(std::string_view text) {
    return read_typed_signal_table<SignalKind::average>(TRY(CsvTable::parse(text, "table.csv")));
}

TEST(TableSignal, reads_zones_steps_and_gaps) {
    auto zones = read("# measured\ntime,DE,FR\n2026-01-01T00:00Z,300,50\n2026-01-01T00:30Z,,51\n2026-01-01T01:30Z,310,52\n");
    ASSERT_TRUE(zones) << zones.error().message;
    const AverageSeries& de = zones->at("DE");
    EXPECT_EQ(de.step(), Seconds(1800));
    ASSERT_EQ(de.size(), 4u);
    EXPECT_TRUE(std::isnan(de.values()[1]) && std::isnan(de.values()[2]));
    EXPECT_EQ(zones->at("FR").values()[3], 52);
}

TEST(TableSignal, says_what_is_wrong) {
    EXPECT_FALSE(read("time,DE\n2026-01-01T00:00Z,300\n"));
    EXPECT_FALSE(read("when,DE\n2026-01-01T00:00Z,300\n2026-01-01T01:00Z,300\n"));
    EXPECT_FALSE(read("time,DE\n2026-01-01T01:00Z,300\n2026-01-01T00:00Z,300\n"));
    EXPECT_FALSE(read("time,DE\n2026-01-01T00:00Z,300\n2026-01-01T01:00Z,many\n"));
    EXPECT_FALSE(read("time,DE\n2026-01-01T00:00Z,300\n2026-01-01T01:00Z,300\n2026-01-01T02:30Z,300\n"));
    EXPECT_FALSE(read("time,DE\n1970-01-01T00:00:00Z,300\n1970-01-01T00:00:01Z,300\n2026-01-01T00:00Z,300\n")) << "too many steps";
}

}  // namespace
}  // namespace hyper::carbon
