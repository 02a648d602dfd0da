// SPDX-License-Identifier: Apache-2.0
// Answers as services gave them: tests that exist where HYPER_CARBON_DATA names the folder that holds them, since they are not to be shipped. Its README
// says where they are from.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "blockengine/volume/small_file.h"
#include "carbon/feeds/energy_charts.h"
#include "carbon/feeds/gb_carbon_intensity.h"

namespace hyper::carbon {
namespace {

using namespace std::chrono;

std::vector<std::string> folders() {
    const char* folder = getenv("HYPER_CARBON_DATA");
    bool there = folder != nullptr && std::filesystem::is_directory(std::string(folder) + "/fixtures");
    return there ? std::vector<std::string>{folder} : std::vector<std::string>();
}

class RecordedAnswers : public testing::TestWithParam<std::string> {
  protected:
    static std::string recorded(const char* name) { return read_small_file(GetParam() + "/fixtures/" + name, 1 << 20).value(); }
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RecordedAnswers);
INSTANTIATE_TEST_SUITE_P(, RecordedAnswers, testing::ValuesIn(folders()), [](const auto&) { return "of_this_machine"; });

size_t known(const StepSeries& series) {
    size_t count = 0;
    for (double value : series.values()) count += !std::isnan(value);
    return count;
}

TEST_P(RecordedAnswers, of_gb_carbon_intensity) {
    std::string text = recorded("ukci_national_fw48h.json");
    auto answer = gb_carbon_intensity::read_answer(text);
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(known(answer->measured.series), 1u);
    EXPECT_EQ(answer->measured.series.at(Instant(sys_days(2023y / December / 3)) + hours(10) + minutes(30)), 206);
    EXPECT_EQ(answer->forecast.series.size(), 96u);
    EXPECT_EQ(known(answer->forecast.series), 96u);
    EXPECT_EQ(answer->forecast.series.end(), Instant(sys_days(2023y / December / 5)) + hours(10) + minutes(30));
}

TEST_P(RecordedAnswers, of_one_region_of_gb_are_refused) {
    std::string text = recorded("ukci_regional_london_fw48h.json");
    EXPECT_FALSE(gb_carbon_intensity::read_answer(text));
}

TEST_P(RecordedAnswers, of_energy_charts) {
    for (auto [name, step] : {std::pair("energycharts_co2eq_de.json", minutes(15)), {"energycharts_co2eq_fr.json", minutes(60)},
                              {"energycharts_co2eq_ch.json", minutes(60)}, {"energycharts_at.json", minutes(15)}}) {
        auto answer = energy_charts::read_answer(recorded(name));
        ASSERT_TRUE(answer) << name << ": " << answer.error().message;
        EXPECT_EQ(answer->forecast.series.step(), step) << name;
        EXPECT_EQ(answer->measured.series.step(), step) << name;
        EXPECT_GT(known(answer->measured.series), 8u) << name;
        EXPECT_GT(answer->forecast.series.end(), answer->measured.series.end()) << name << ": it reaches beyond what was measured";
    }
}

}  // namespace
}  // namespace hyper::carbon
