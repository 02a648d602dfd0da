// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/volume_disk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <future>

#include "tests/support/support.h"

namespace hyper {
namespace {

constexpr uint64_t disk_bytes = MiB;

class VolumeDiskTest : public testing::Test {
  protected:
    std::shared_ptr<Draft> begin_draft(const std::string& name) {
        auto draft = Draft::open(scratch_.path(name), {{}, 1, disk_bytes}, nullptr, test::engine());
        EXPECT_TRUE(draft) << draft.error().message;
        return *draft;
    }
    static bool nothing_written(const Draft& draft) { return draft.next_absent(0).count == disk_bytes / draft_sector_bytes; }

    test::ScratchDir scratch_;
    std::shared_ptr<Draft> first_ = begin_draft("first"), second_ = begin_draft("second");
    std::shared_ptr<VolumeDisk> disk_ = std::make_shared<VolumeDisk>(first_);
    std::vector<std::byte> bytes_ = std::vector<std::byte>(5000, std::byte{7});
};

TEST_F(VolumeDiskTest, in_a_pause_writes_wait_for_the_next_draft_and_reads_go_on) {
    auto source = disk_->source();
    ASSERT_TRUE(write(*disk_, 0, bytes_, false));
    std::vector<std::byte> expected(disk_bytes);
    std::ranges::copy(bytes_, expected.begin());
    std::future<Result<void>> writing, flushing;
    {
        VolumeDisk::Pause pause(*disk_);
        {
            NoWait no_wait;
            EXPECT_EQ(disk_->prepare_write(100'000, 10).error().code, EAGAIN);
        }
        writing = std::async(std::launch::async, [&] { return write(*disk_, 100'000, bytes_, false); });
        flushing = std::async(std::launch::async, [&] { return disk_->flush(); });
        EXPECT_TRUE(test::read_all(*source) == expected);
        ASSERT_TRUE(first_->discard());
        pause.go_on_with(second_);
    }
    EXPECT_TRUE(writing.get());
    EXPECT_TRUE(flushing.get());
    std::vector<std::byte> after(disk_bytes);
    std::ranges::copy(bytes_, after.begin() + 100'000);
    EXPECT_TRUE(test::read_all(*source) == after);
    EXPECT_EQ(first_->next_absent(0), (SectorRun{2, disk_bytes / draft_sector_bytes - 2}));
}

TEST_F(VolumeDiskTest, a_pause_begins_when_what_was_begun_has_ended) {
    ASSERT_TRUE(disk_->prepare_write(0, 4096));
    std::promise<void> begun;
    auto pausing = std::async(std::launch::async, [&] {
        VolumeDisk::Pause pause(*disk_);
        begun.set_value();
        pause.go_on_with(second_);
    });
    auto kept_out = [&] {
        NoWait no_wait;
        if (!disk_->prepare_write(8192, 10)) return true;
        disk_->written(8192, 10, 0, 0);
        return false;
    };
    while (!kept_out() && pausing.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
    }
    // However long.
    EXPECT_EQ(begun.get_future().wait_for(std::chrono::milliseconds(200)), std::future_status::timeout);
    disk_->written(0, 4096, 0, 0);
    pausing.get();
    EXPECT_TRUE(nothing_written(*second_));
    EXPECT_FALSE(nothing_written(*first_));
}

TEST_F(VolumeDiskTest, remembers_what_was_written_and_what_failed_midway) {
    disk_->remember(true);
    ASSERT_TRUE(write(*disk_, 5000, bytes_, false));
    ASSERT_TRUE(disk_->zero(100 * 4096, 4096, false, false));
    ASSERT_TRUE(disk_->trim(200 * 4096, 4096));
    ASSERT_TRUE(disk_->prepare_write(50 * 4096, 100));
    disk_->written(50 * 4096, 100, 0, EIO);
    BlockRuns expected;
    for (BlockRun run : {BlockRun{1, 2}, {50, 1}, {100, 1}, {200, 1}}) expected.add(run.first, run.count);
    EXPECT_EQ(disk_->take_written(), expected);
    EXPECT_EQ(disk_->take_written(), BlockRuns());
}

TEST_F(VolumeDiskTest, one_that_may_have_lost_writes_takes_none_and_is_read) {
    ASSERT_TRUE(write(*disk_, 0, bytes_, false));
    disk_->lose({ESTALE, "lost"});
    EXPECT_EQ(write(*disk_, 0, bytes_, false).error().code, ESTALE);
    EXPECT_EQ(disk_->flush().error().code, ESTALE);
    EXPECT_EQ(disk_->zero(0, 4096, false, false).error().code, ESTALE);
    EXPECT_EQ(disk_->trim(0, 4096).error().code, ESTALE);
    EXPECT_EQ(test::read_all(*disk_->source())[4999], std::byte{7});
}

}  // namespace
}  // namespace hyper
