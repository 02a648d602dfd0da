// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/attempt.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <future>

namespace hyper::hyperd {

namespace {

namespace fs = std::filesystem;
using scheduler::Failure;
using scheduler::Outcome;

// A script stands for hyperctl.
class AttemptTest : public testing::Test {
  protected:
    AttemptTest() {
        fs::remove_all(folder);
        fs::create_directories(folder);
    }
    ~AttemptTest() override { fs::remove_all(folder); }

    // It is stopped as soon as it has told that something is done, where that is asked for.
    AttemptReport run(const std::string& script, bool stop = false) {
        std::ofstream(folder + "/hyperctl") << "#!/bin/sh\n" << script;
        fs::permissions(folder + "/hyperctl", fs::perms::owner_all);
        AttemptWish wish;
        wish.job.name = "db";
        wish.hyperctl = folder + "/hyperctl";
        wish.logs = folder + "/logs";
        wish.notes = folder;
        wish.period = "asked 1";
        wish.before = 2;
        std::promise<AttemptReport> told;
        auto attempt = Attempt::start(std::move(wish), [&](AttemptReport report) { told.set_value(std::move(report)); });
        EXPECT_TRUE(attempt);
        auto report = told.get_future();
        while (stop && (*attempt)->progress().done_bytes == 0 && report.wait_for(std::chrono::milliseconds(10)) != std::future_status::ready) {
        }
        if (stop) (*attempt)->stop();
        return report.get();
    }

    const std::string folder = testing::TempDir() + "hyperd-attempts";
    const std::string progress = R"(echo '{"done-bytes": 1048576, "total-bytes": 16777216}' >&2
)";
};

TEST_F(AttemptTest, that_is_stopped_has_moved_what_was_done) {
    auto report = run(progress + "sleep 60\n", true);
    EXPECT_TRUE(report.stopped);
    EXPECT_EQ(report.moved_bytes, 1048576u);
    EXPECT_GT(report.seconds, 0);
}

TEST_F(AttemptTest, that_fails_has_moved_what_was_done) {
    auto report = run(progress + R"(echo '{"errno": 5, "message": "the disk is bad"}'
exit 1
)");
    EXPECT_EQ(report.end.outcome, Outcome::failed);
    EXPECT_EQ(report.end.message, "the disk is bad");
    EXPECT_EQ(report.moved_bytes, 1048576u);
}

TEST_F(AttemptTest, that_is_killed_has_moved_what_was_done) {
    auto report = run(progress + "kill -9 $$\n");
    EXPECT_EQ(report.end.failure, Failure::killed);
    EXPECT_EQ(report.moved_bytes, 1048576u);
}

TEST_F(AttemptTest, that_succeeds_has_moved_what_it_says_at_its_end) {
    auto report = run(progress + R"(echo '{"generation": 2, "read-bytes": 1000000, "different-bytes": 5, "seconds": 1.5}'
)");
    EXPECT_EQ(report.end.outcome, Outcome::success);
    EXPECT_EQ(report.moved_bytes, 1'000'000u);
    EXPECT_EQ(report.seconds, 1.5);
}

TEST_F(AttemptTest, notes_how_far_it_came_before_it_ends) {
    auto report = run(progress + "sleep 60\n", true);
    auto note = read_note(folder, "db");
    ASSERT_TRUE(note) << note.error().message;
    EXPECT_EQ(note->period, "asked 1");
    EXPECT_EQ(note->before, 2u);
    EXPECT_EQ(note->from, report.from);
    EXPECT_EQ(note->moved_bytes, 1048576u);
}

TEST_F(AttemptTest, notes_at_last_what_its_sync_says_at_its_end) {
    run(progress + R"(echo '{"generation": 2, "read-bytes": 1000000, "different-bytes": 5, "seconds": 1.5}'
)");
    auto note = read_note(folder, "db");
    ASSERT_TRUE(note) << note.error().message;
    EXPECT_EQ(note->moved_bytes, 1'000'000u);
}

TEST_F(AttemptTest, whose_note_is_damaged_has_none) {
    std::ofstream(folder + "/db") << "{\"period\": \"asked 1\", \"from\": 7}";
    EXPECT_EQ(read_note(folder, "db").error().code, EINVAL);
    EXPECT_EQ(read_note(folder, "other").error().code, ENOENT);
}

TEST_F(AttemptTest, whose_generation_was_there_has_moved_nothing) {
    auto report = run(R"(echo '{"generation": 2, "changed-bytes": 7}'
)");
    EXPECT_EQ(report.end.outcome, Outcome::success);
    EXPECT_EQ(report.moved_bytes, 0u);
}

}  // namespace

}  // namespace hyper::hyperd
