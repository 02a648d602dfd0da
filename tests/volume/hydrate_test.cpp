// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/hydrate.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <functional>
#include <random>
#include <thread>

#include "tests/support/support.h"

namespace hyper {
namespace {

// Not whole sectors, and more than is read at once.
constexpr uint64_t disk_bytes = 5 * MiB + 512;

// Counts what is read of a source; fails at an offset, and calls what it was given in the midst of the next read, if either is set.
class WatchedSource : public Source {
  public:
    explicit WatchedSource(std::shared_ptr<const Source> inner) : inner_(std::move(inner)) {}
    uint64_t size_bytes() const override { return inner_->size_bytes(); }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override {
        if (offset < bad_offset && offset + length > bad_offset && length <= MiB) return fail(EIO, "it is far away, and does not answer");
        asked_bytes += length;
        if (length <= MiB)
            if (auto now = std::exchange(meanwhile, {})) now();
        return inner_->map(offset, length, out);
    }
    mutable std::atomic<uint64_t> asked_bytes = 0;
    uint64_t bad_offset = UINT64_MAX;
    mutable std::function<void()> meanwhile;

  private:
    std::shared_ptr<const Source> inner_;
};

class HydrateTest : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_TRUE(engine_.read(*base_, 0, model_));
        reopen();
    }
    void reopen() {
        draft_ = nullptr;
        auto draft = Draft::open(folder_, {{std::byte{7}}, 0, disk_bytes}, base_, engine_);
        ASSERT_TRUE(draft) << draft.error().message;
        draft_ = *draft;
    }
    void must_write(uint64_t offset, uint64_t length, int value) {
        Bytes bytes(length, static_cast<std::byte>(value));
        ASSERT_TRUE(write(*draft_, offset, bytes, false));
        std::ranges::copy(bytes, model_.begin() + static_cast<ptrdiff_t>(offset));
    }
    Result<void> fill(const HydrateOptions& options = {}, const std::vector<ChangedRun>& first = {}) {
        return hydrate(engine_, *draft_, *base_, first, options);
    }
    // From the draft's files alone.
    Bytes read_alone() {
        draft_ = nullptr;
        auto draft = Draft::open(folder_, {{std::byte{7}}, 0, disk_bytes}, nullptr, engine_);
        Bytes bytes(disk_bytes);
        EXPECT_TRUE(draft && engine_.read(*(*draft)->source(), 0, bytes));
        return bytes;
    }

    test::ScratchDir scratch_;
    Engine engine_{make_system_io(), MiB};
    std::string folder_ = scratch_.path("draft");
    std::shared_ptr<WatchedSource> base_ =
        std::make_shared<WatchedSource>(test::pattern(disk_bytes, test::random_runs(disk_bytes, 1000, 0.4, 1)));
    Bytes model_ = Bytes(disk_bytes);
    std::shared_ptr<Draft> draft_;
};

TEST_F(HydrateTest, leaves_nothing_that_is_read_from_the_base) {
    ASSERT_TRUE(fill());
    EXPECT_EQ(draft_->next_absent(0).count, 0u);
    EXPECT_EQ(read_alone(), model_);
}

TEST_F(HydrateTest, keeps_what_was_written_before) {
    must_write(100, 3000, 1);
    must_write(MiB - 5, MiB, 2);
    must_write(disk_bytes - 7, 7, 3);
    ASSERT_TRUE(draft_->zero(2 * MiB + 100, 100000, false, false));
    std::fill_n(model_.begin() + 2 * MiB + 100, 100000, std::byte{});
    ASSERT_TRUE(fill());
    EXPECT_EQ(read_alone(), model_);
}

TEST_F(HydrateTest, keeps_what_is_written_between_a_read_and_its_use) {
    base_->meanwhile = [&] { must_write(8192, 40960, 9); };
    ASSERT_TRUE(fill());
    EXPECT_EQ(read_alone(), model_);
}

TEST_F(HydrateTest, keeps_what_is_written_meanwhile) {
    std::atomic<bool> filled = false;
    std::thread writer([&] {
        std::mt19937_64 draw(3);
        for (int value = 1; !filled || value < 200; ++value) must_write(draw() % (disk_bytes - 9000), 1 + draw() % 9000, value % 255 + 1);
    });
    EXPECT_TRUE(fill());
    filled = true;
    writer.join();
    ASSERT_TRUE(draft_->flush());
    EXPECT_EQ(read_alone(), model_);
}

TEST_F(HydrateTest, fetches_nothing_twice_after_it_was_broken_off) {
    base_->bad_offset = 3 * MiB + 5;
    auto broken = fill();
    ASSERT_FALSE(broken);
    EXPECT_EQ(broken.error().code, EIO);
    EXPECT_EQ(draft_->next_absent(0).first * draft_sector_bytes, 3 * MiB);
    ASSERT_TRUE(draft_->flush());
    reopen();
    base_->bad_offset = UINT64_MAX;
    uint64_t told = 0;
    ASSERT_TRUE(fill({.done = [&](uint64_t bytes) { told += bytes; }}));
    EXPECT_EQ(told, disk_bytes - 3 * MiB);
    EXPECT_EQ(read_alone(), model_);
}

TEST_F(HydrateTest, takes_the_first_ranges_first) {
    int parts = 0;
    auto stopped = fill({.done = [&](uint64_t) { ++parts; }, .stop = [&] { return parts > 0; }}, {{4 * MiB + 1, 100}, {0, 4096}});
    ASSERT_FALSE(stopped);
    EXPECT_EQ(stopped.error().code, ECANCELED);
    EXPECT_EQ(draft_->next_absent(0).first, 0u);
    EXPECT_EQ(draft_->next_absent(4 * MiB / draft_sector_bytes).first, 4 * MiB / draft_sector_bytes + 1);
    ASSERT_TRUE(fill());
    EXPECT_EQ(read_alone(), model_);
}

TEST_F(HydrateTest, reads_no_hole) {
    base_ = std::make_shared<WatchedSource>(test::pattern(disk_bytes, {{MiB, 8192}}));
    ASSERT_TRUE(engine_.read(*base_, 0, model_));
    reopen();
    ASSERT_TRUE(fill());
    struct stat status {};
    ::fstat(draft_->fd(), &status);
    EXPECT_LE(static_cast<uint64_t>(status.st_blocks) * 512, 16384u);
    EXPECT_EQ(read_alone(), model_);
}

}  // namespace
}  // namespace hyper
