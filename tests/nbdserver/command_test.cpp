// SPDX-License-Identifier: Apache-2.0
// What workers do for a client.
#include "nbdserver/command.h"

#include <gtest/gtest.h>

#include "nbdserver/export.h"
#include "tests/support/support.h"

namespace hyper::nbd {
namespace {

constexpr uint64_t disk_bytes = uint64_t{10} << 30;

// Writes down what is asked of it.
class NotingDisk : public WritableDisk {
  public:
    std::shared_ptr<const Source> source() override { return test::pattern(disk_bytes, {}); }
    uint64_t size_bytes() const override { return disk_bytes; }
    int fd() const override { return -1; }
    Result<void> prepare_write(uint64_t, uint64_t) override { return {}; }
    void written(uint64_t, uint64_t, int, int) override {}
    int durable_write_flags() const override { return 0; }
    Result<void> zero(uint64_t offset, uint64_t length, bool, bool) override {
        EXPECT_EQ(offset, zeroed_to);
        zeroed_to = offset + length;
        return {};
    }
    Result<void> trim(uint64_t, uint64_t) override { return fail(EIO, "planted"); }
    Result<void> flush() override {
        ++flushes;
        return {};
    }
    uint64_t zeroed_to = 1000;
    int flushes = 0;
};

class CommandTest : public testing::Test {
  protected:
    CommandTest() {
        exported_.source = disk_->source();
        exported_.writable = disk_;
    }
    std::shared_ptr<NotingDisk> disk_ = std::make_shared<NotingDisk>();
    Export exported_;
    Request zeroes_{FLAG_FUA, CMD_WRITE_ZEROES, 1, 1000, uint64_t{9} << 30, 0};
};

TEST_F(CommandTest, a_long_range_is_done_whole_and_flushed_once) {
    ASSERT_TRUE(carry_out(exported_, zeroes_, [] { return false; }));
    EXPECT_EQ(disk_->zeroed_to, 1000 + zeroes_.length);
    EXPECT_EQ(disk_->flushes, 1);
}

TEST_F(CommandTest, what_nobody_waits_for_any_more_ends_between_two_steps) {
    int asked = 0;
    auto done = carry_out(exported_, zeroes_, [&] { return ++asked > 3; });
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ECANCELED);
    EXPECT_LT(disk_->zeroed_to, zeroes_.length) << "it went on to the end";
    EXPECT_GT(disk_->zeroed_to, 1000u);
    EXPECT_EQ(disk_->flushes, 0);
}

TEST_F(CommandTest, what_fails_is_not_said_to_be_durable) {
    Request trim{FLAG_FUA, CMD_TRIM, 1, 0, 4096, 0};
    auto done = carry_out(exported_, trim, [] { return false; });
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, EIO);
    EXPECT_EQ(disk_->flushes, 0);
}

}  // namespace
}  // namespace hyper::nbd
