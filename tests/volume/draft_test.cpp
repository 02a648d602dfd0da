// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/draft.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <random>
#include <thread>

#include "tests/support/faulty_io.h"
#include "tests/support/support.h"

namespace hyper {
namespace {

using Bytes = std::vector<std::byte>;
using test::Operation;

constexpr uint64_t disk_bytes = 4 * MiB + 1000;

// The disk is not what these tests are about.
class UnsyncedIo : public test::PassingIo {
  public:
    int sync(int) override { return 0; }
};

class DraftTest : public testing::Test {
  protected:
    void SetUp() override { draft_ = must_open(); }

    Result<std::shared_ptr<Draft>> open(const DraftIdentity& identity) {
        return Draft::open(folder_, identity, base_, engine_);
    }
    std::shared_ptr<Draft> must_open() {
        auto draft = open(identity_);
        EXPECT_TRUE(draft) << draft.error().message;
        return draft ? *draft : nullptr;
    }
    void reopen() {
        draft_ = nullptr;
        draft_ = must_open();
        ASSERT_TRUE(draft_);
    }
    int open_error(const DraftIdentity& identity) {
        draft_ = nullptr;
        auto draft = open(identity);
        return draft ? 0 : draft.error().code;
    }
    void must_write(uint64_t offset, uint64_t length, int value, bool durable = false) {
        Bytes bytes(length, static_cast<std::byte>(value));
        auto done = write(*draft_, offset, bytes, durable);
        ASSERT_TRUE(done) << done.error().message;
        std::ranges::copy(bytes, model_.begin() + static_cast<ptrdiff_t>(offset));
    }
    void must_flush() {
        auto done = draft_->flush();
        ASSERT_TRUE(done) << done.error().message;
    }
    Bytes read() {
        Bytes bytes(disk_bytes);
        auto done = engine_.read(*draft_->source(), 0, bytes);
        EXPECT_TRUE(done) << done.error().message;
        return bytes;
    }
    static Bytes bytes_of_base(Engine& engine, const Source& base) {
        Bytes bytes(disk_bytes);
        EXPECT_TRUE(engine.read(base, 0, std::span(bytes).first(base.size_bytes())));
        return bytes;
    }
    std::vector<SectorRun> changed() {
        std::vector<SectorRun> runs;
        draft_->visit_changed([&](const SectorRun& run) {
            runs.push_back(run);
            return true;
        });
        return runs;
    }
    uint64_t allocated_bytes() {
        struct stat status {};
        ::fstat(draft_->fd(), &status);
        return static_cast<uint64_t>(status.st_blocks) * 512;
    }
    // Changes a byte of the log, from its start or, where `at` is negative, from its end.
    void damage_log(int64_t at) {
        auto bytes = test::read_file(folder_ + "/map");
        bytes[at < 0 ? bytes.size() - static_cast<size_t>(-at) : static_cast<size_t>(at)] ^= std::byte{1};
        test::write_file(folder_ + "/map", bytes);
    }

    test::ScratchDir scratch_;
    Engine engine_{std::make_unique<test::FaultyIo>(std::make_unique<UnsyncedIo>()), MiB};
    test::FaultyIo& io_ = static_cast<test::FaultyIo&>(engine_.io());
    DraftIdentity identity_{{std::byte{7}}, 42, disk_bytes};
    std::string folder_ = scratch_.path("draft");
    std::shared_ptr<const Source> base_ = test::pattern(3 * MiB, test::random_runs(3 * MiB, 4096, 0.5, 1));
    Bytes model_ = bytes_of_base(engine_, *base_);
    std::shared_ptr<Draft> draft_;
};

TEST_F(DraftTest, reads_as_its_base_at_first_and_takes_no_space) {
    EXPECT_EQ(read(), model_);
    EXPECT_EQ(allocated_bytes(), 0u);
    EXPECT_TRUE(changed().empty());
}

TEST_F(DraftTest, takes_writes_of_any_alignment) {
    must_write(0, 1, 1);
    must_write(4095, 2, 2);
    must_write(MiB + 100, 10, 3);
    must_write(2 * MiB, 4096, 4);
    must_write(3 * MiB - 5000, 10000, 5);
    must_write(disk_bytes - 1, 1, 6);
    EXPECT_EQ(read(), model_);
}

TEST_F(DraftTest, tells_which_sectors_have_changed) {
    must_write(4095, 2, 1);
    must_write(disk_bytes - 10, 10, 2);
    ASSERT_TRUE(draft_->zero(MiB, 8192, false, false));
    EXPECT_EQ(changed(), (std::vector<SectorRun>{{0, 2, SectorState::data},
                                                 {256, 2, SectorState::zero},
                                                 {disk_bytes / 4096, 1, SectorState::data}}));
}

TEST_F(DraftTest, a_write_of_a_whole_sector_reads_nothing) {
    uint64_t before = io_.count(Operation::read);
    must_write(8192, 4096, 1);
    must_write(round_down(disk_bytes, 4096), disk_bytes % 4096, 1);
    EXPECT_EQ(io_.count(Operation::read), before);
    EXPECT_EQ(io_.count(Operation::write), 1u) << "only that of the log's header";
}

TEST_F(DraftTest, a_write_of_a_part_of_a_sector_is_refused_to_who_may_not_wait) {
    NoWait no_wait;
    Bytes bytes(100);
    auto done = write(*draft_, 100, bytes, false);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, EAGAIN);
    EXPECT_TRUE(write(*draft_, 4096, Bytes(4096), false));
    EXPECT_TRUE(write(*draft_, 4100, bytes, false)) << "the sector is there now";
}

TEST_F(DraftTest, zeroes_any_range) {
    must_write(0, disk_bytes, 9);
    uint64_t before = allocated_bytes();
    ASSERT_TRUE(draft_->zero(5000, 2 * MiB, false, true));
    ASSERT_TRUE(draft_->zero(disk_bytes - 1500, 1500, true, false));
    ASSERT_TRUE(draft_->zero(10, 20, false, false));
    std::fill_n(model_.begin() + 5000, 2 * MiB, std::byte{0});
    std::fill_n(model_.end() - 1500, 1500, std::byte{0});
    std::fill_n(model_.begin() + 10, 20, std::byte{0});
    EXPECT_EQ(read(), model_);
    EXPECT_LT(allocated_bytes(), before - MiB);
}

TEST_F(DraftTest, trims_whole_sectors_only) {
    must_write(0, disk_bytes, 9);
    ASSERT_TRUE(draft_->trim(1, 4096));
    EXPECT_EQ(read(), model_);
    ASSERT_TRUE(draft_->trim(1, 8192));
    std::fill_n(model_.begin() + 4096, 4096, std::byte{0});
    ASSERT_TRUE(draft_->trim(round_down(disk_bytes, 4096), disk_bytes % 4096));
    std::fill(model_.begin() + round_down(disk_bytes, 4096), model_.end(), std::byte{0});
    EXPECT_EQ(read(), model_);
}

TEST_F(DraftTest, goes_on_where_it_was_flushed) {
    must_write(100, 10000, 1);
    ASSERT_TRUE(draft_->zero(MiB, MiB, false, false));
    std::fill_n(model_.begin() + MiB, MiB, std::byte{0});
    must_write(MiB + 4096, 100, 2, true);
    auto before = changed();
    reopen();
    EXPECT_EQ(read(), model_);
    EXPECT_EQ(changed(), before);
}

TEST_F(DraftTest, reads_from_its_base_what_was_not_flushed) {
    must_write(0, 4096, 1, true);
    Bytes flushed = model_;
    must_write(8192, 4096, 2);
    reopen();
    EXPECT_EQ(read(), flushed);
}

TEST_F(DraftTest, a_flush_syncs_the_data_before_it_logs) {
    must_write(0, 4096, 1);
    uint64_t syncs = io_.count(Operation::sync), writes = io_.count(Operation::write);
    io_.fail(Operation::sync, 0);
    EXPECT_FALSE(draft_->flush());
    EXPECT_EQ(io_.count(Operation::sync), syncs + 1);
    EXPECT_EQ(io_.count(Operation::write), writes) << "nothing is logged";
}

TEST_F(DraftTest, a_flush_of_nothing_new_only_syncs_the_data) {
    must_write(0, 4096, 1, true);
    uint64_t syncs = io_.count(Operation::sync), writes = io_.count(Operation::write);
    must_write(0, 4096, 2, true);
    EXPECT_EQ(io_.count(Operation::sync), syncs + 1);
    EXPECT_EQ(io_.count(Operation::write), writes);
}

TEST_F(DraftTest, no_flush_goes_well_after_a_sync_has_failed) {
    must_write(0, 4096, 1);
    io_.fail(Operation::sync, 1);
    EXPECT_FALSE(draft_->flush());
    EXPECT_FALSE(draft_->flush());
    reopen();
    must_write(0, 4096, 1);
    must_flush();
}

TEST_F(DraftTest, works_again_once_there_is_room) {
    must_write(0, 4096, 1);
    io_.set_room(10);
    auto flushed = draft_->flush();
    ASSERT_FALSE(flushed);
    EXPECT_EQ(flushed.error().code, ENOSPC);
    auto written = write(*draft_, 8200, Bytes(10), false);
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code, ENOSPC);
    EXPECT_EQ(read(), model_);
    io_.set_room(test::FaultyIo::unlimited);
    must_flush();
    reopen();
    EXPECT_EQ(read(), model_);
}

TEST_F(DraftTest, drops_the_torn_end_of_its_log_and_goes_on) {
    must_write(0, 4096, 1, true);
    auto size = std::filesystem::file_size(folder_ + "/map");
    Bytes flushed = model_;
    must_write(8192, 4096, 2, true);
    damage_log(-1);
    reopen();
    EXPECT_EQ(std::filesystem::file_size(folder_ + "/map"), size);
    EXPECT_EQ(read(), flushed);
    model_ = flushed;
    must_write(MiB, 4096, 3, true);
    reopen();
    EXPECT_EQ(read(), model_);
}

TEST_F(DraftTest, drops_a_record_that_is_out_of_order) {
    must_write(0, 4096, 1, true);
    Bytes log = test::read_file(folder_ + "/map");
    Bytes record(log.end() - 80, log.end());
    ASSERT_TRUE(draft_->zero(0, 4096, false, false));
    must_flush();
    draft_ = nullptr;
    log = test::read_file(folder_ + "/map");
    log.insert(log.end(), record.begin(), record.end());
    test::write_file(folder_ + "/map", log);
    reopen();
    EXPECT_EQ(changed(), (std::vector<SectorRun>{{0, 1, SectorState::zero}}));
}

TEST_F(DraftTest, refuses_a_log_that_is_damaged_before_its_end) {
    must_write(0, 4096, 1, true);
    auto size = static_cast<int64_t>(std::filesystem::file_size(folder_ + "/map"));
    must_write(8192, 4096, 2, true);
    damage_log(size - 1);
    EXPECT_EQ(open_error(identity_), EIO);
}

TEST_F(DraftTest, refuses_a_log_whose_header_is_damaged) {
    damage_log(70);
    EXPECT_EQ(open_error(identity_), EIO);
}

TEST_F(DraftTest, is_not_of_another_volume_generation_or_size) {
    DraftIdentity other = identity_;
    other.base_generation = 43;
    EXPECT_EQ(open_error(other), EINVAL);
    other = identity_;
    other.volume[15] = std::byte{1};
    EXPECT_EQ(open_error(other), EINVAL);
    other = identity_;
    other.size_bytes += 4096;
    EXPECT_EQ(open_error(other), EINVAL);
    EXPECT_EQ(open_error(identity_), 0);
}

TEST_F(DraftTest, is_refused_without_its_data) {
    draft_ = nullptr;
    std::filesystem::remove(folder_ + "/data");
    EXPECT_EQ(open_error(identity_), EIO);
}

TEST_F(DraftTest, is_open_once) {
    auto second = open(identity_);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, EBUSY);
}

TEST_F(DraftTest, begins_anew_after_it_was_discarded) {
    Bytes base = model_;
    must_write(0, 4096, 1, true);
    ASSERT_TRUE(draft_->discard());
    EXPECT_FALSE(draft_->flush());
    EXPECT_FALSE(std::filesystem::exists(folder_));
    reopen();
    EXPECT_EQ(read(), base);
}

TEST_F(DraftTest, begins_anew_where_its_beginning_was_cut_short) {
    Bytes base = model_;
    must_write(0, 4096, 1, true);
    draft_ = nullptr;
    std::filesystem::rename(folder_ + "/map", folder_ + "/map.new");
    reopen();
    EXPECT_EQ(read(), base);
}

TEST_F(DraftTest, its_log_stays_short) {
    for (int round = 0; round < 1000; ++round) {
        ASSERT_TRUE(draft_->zero(MiB, 4096, false, false));
        must_write(MiB, 4096, round, true);
    }
    EXPECT_LT(std::filesystem::file_size(folder_ + "/map"), 32 * KiB);
    reopen();
    EXPECT_EQ(read(), model_);
}

// Two that write into one sector at a time lose nothing of each other, nor to one who writes or zeroes it as a whole.
TEST_F(DraftTest, writers_of_one_sector_do_not_lose_each_other) {
    constexpr unsigned writers = 4, sectors = 400;
    std::vector<std::thread> threads;
    std::atomic<unsigned> ready = 0;
    for (unsigned number = 0; number < writers; ++number)
        threads.emplace_back([&, number] {
            Bytes mine(1024, static_cast<std::byte>(number + 1));
            for (unsigned sector = 0; sector < sectors; ++sector) {
                ++ready;
                while (ready < (sector + 1) * writers) std::this_thread::yield();
                EXPECT_TRUE(write(*draft_, sector * 4096 + number * 1024, mine, false));
            }
        });
    for (std::thread& thread : threads) thread.join();
    for (uint64_t at = 0; at < sectors * 4096; ++at) model_[at] = static_cast<std::byte>(at % 4096 / 1024 + 1);
    EXPECT_EQ(read(), model_);
}

// Calls what it was given in the midst of the next write.
class InterruptedIo : public test::PassingIo {
  public:
    void write(std::span<WriteOp> ops) override {
        if (auto meanwhile = std::exchange(meanwhile_, {})) meanwhile();
        PassingIo::write(ops);
    }
    std::function<void()> meanwhile_;
};

TEST_F(DraftTest, nobody_else_writes_a_sector_while_its_rest_is_copied) {
    draft_ = nullptr;
    Engine engine(std::make_unique<InterruptedIo>(), MiB);
    auto draft = Draft::open(folder_, identity_, base_, engine);
    ASSERT_TRUE(draft);
    int code = 0;
    static_cast<InterruptedIo&>(engine.io()).meanwhile_ = [&] {
        NoWait no_wait;
        auto done = write(**draft, 0, Bytes(4096), false);
        code = done ? 0 : done.error().code;
    };
    EXPECT_TRUE(write(**draft, 10, Bytes(10), false));
    EXPECT_EQ(code, EAGAIN);
}

TEST_F(DraftTest, a_whole_write_is_not_undone_by_a_partial_one) {
    constexpr unsigned sectors = 1000;
    std::atomic<unsigned> ready = 0;
    auto each_sector = [&](uint64_t offset, uint64_t length, int value) {
        Bytes mine(length, static_cast<std::byte>(value));
        for (unsigned sector = 0; sector < sectors; ++sector) {
            ++ready;
            while (ready < (sector + 1) * 2) std::this_thread::yield();
            EXPECT_TRUE(write(*draft_, sector * 4096 + offset, mine, false));
        }
    };
    std::thread whole([&] { each_sector(0, 4096, 1); }), part([&] { each_sector(0, 10, 2); });
    whole.join();
    part.join();
    Bytes found = read();
    for (uint64_t at = 0; at < sectors * 4096; ++at)
        ASSERT_TRUE(found[at] == std::byte{1} || (at % 4096 < 10 && found[at] == std::byte{2})) << at;
}

// Each of many writers flushes what it wrote, at once; the log has it then.
TEST_F(DraftTest, a_flush_that_ends_with_anothers_covers_its_own_writes) {
    std::vector<std::thread> threads;
    for (unsigned number = 0; number < 4; ++number)
        threads.emplace_back([&, number] {
            std::string copy = scratch_.path("copy-" + std::to_string(number));
            std::filesystem::create_directory(copy);
            for (uint64_t round = 0; round < 40; ++round) {
                uint64_t sector = round * 4 + number;
                EXPECT_TRUE(write(*draft_, sector * 4096, Bytes(4096, std::byte{1}), true));
                test::write_file(copy + "/map", test::read_file(folder_ + "/map"));
                DraftMap logged(divide_up(disk_bytes, 4096));
                EXPECT_TRUE(DraftLog::open(copy, identity_, engine_.io(), logged));
                EXPECT_EQ(logged.at(sector), SectorState::data);
            }
        });
    for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace hyper
