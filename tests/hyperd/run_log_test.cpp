// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/run_log.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace hyper::hyperd {

namespace {

namespace fs = std::filesystem;

class RunLogTest : public testing::Test {
  protected:
    RunLogTest() { fs::remove_all(folder); }
    ~RunLogTest() override { fs::remove_all(folder); }
    const std::string folder = testing::TempDir() + "hyperd-run-logs";
    const Instant at = *parse_instant("2026-01-01T00:00:00Z");
};

TEST_F(RunLogTest, keeps_lines_with_their_time) {
    auto log = RunLog::open(folder, "db", "asked 1");
    log.add(at, "begins");
    log.add(at + Seconds(1), "ends");
    EXPECT_EQ(RunLog::read(folder, "db", "asked 1"), "2026-01-01T00:00:00Z begins\n2026-01-01T00:00:01Z ends\n");
    EXPECT_EQ(RunLog::read(folder, "db", "asked 2"), "");
}

TEST_F(RunLogTest, goes_on_in_a_later_attempt) {
    RunLog::open(folder, "db", "p").add(at, "one");
    RunLog::open(folder, "db", "p").add(at, "two");
    EXPECT_NE(RunLog::read(folder, "db", "p").find("one\n2026-01-01T00:00:00Z two"), std::string::npos);
}

TEST_F(RunLogTest, is_bounded_and_keeps_the_newest) {
    auto log = RunLog::open(folder, "db", "p");
    std::string line(1000, 'x');
    for (int i = 0; i < 1000; ++i) log.add(at, line);
    log.add(at, "the last");
    std::string text = RunLog::read(folder, "db", "p");
    EXPECT_LE(text.size(), 2 * RunLog::half_bytes_max);
    EXPECT_GE(text.size(), RunLog::half_bytes_max);
    EXPECT_TRUE(text.ends_with("the last\n"));
}

TEST_F(RunLogTest, keeps_so_many_runs_of_a_job) {
    for (size_t i = 0; i < 2 * RunLog::runs_kept; ++i) RunLog::open(folder, "db", fmt::format("run {}", i)).add(at, "here");
    size_t count = 0;
    for (const auto& entry : fs::directory_iterator(folder + "/db")) count += entry.path().extension() == ".log";
    EXPECT_LE(count, RunLog::runs_kept + 1);
    EXPECT_NE(RunLog::read(folder, "db", fmt::format("run {}", 2 * RunLog::runs_kept - 1)), "");
}

TEST_F(RunLogTest, a_period_cannot_name_another_folder) {
    RunLog::open(folder, "db", "../../evil").add(at, "here");
    EXPECT_NE(RunLog::read(folder, "db", "../../evil"), "");
    for (const auto& entry : fs::recursive_directory_iterator(folder)) EXPECT_TRUE(entry.path().string().starts_with(folder + "/db"));
}

TEST_F(RunLogTest, two_periods_never_share_a_file) {
    RunLog::open(folder, "db", "a b").add(at, "blank");
    RunLog::open(folder, "db", "a_20b").add(at, "underscore");
    EXPECT_EQ(RunLog::read(folder, "db", "a b").find("underscore"), std::string::npos);
}

}  // namespace

}  // namespace hyper::hyperd
