// SPDX-License-Identifier: Apache-2.0
// A volume against plain arrays: random changes, syncs that know what changed or do not, interruptions, prunings, reopenings and
// faults of the disk, from a printed seed. HYPER_MODEL_STEPS=N and HYPER_MODEL_SEED=N run it longer, or again.
#include <algorithm>
#include <cstdlib>
#include <map>

#include "blockengine/base/hex.h"
#include "tests/support/faulty_io.h"
#include "tests/volume/fixture.h"

namespace hyper {
namespace {

uint64_t number_of(const char* name, uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

class Model {
  public:
    Model(uint64_t seed, uint32_t block_bytes, bool compress, bool faults) : draw_(seed), block_bytes_(block_bytes), faults_(faults) {
        auto io = std::make_unique<test::FaultyIo>();
        io_ = io.get();
        engine_ = std::make_unique<Engine>(std::move(io));
        disk_.resize(700000 + draw_() % 100000 * 10);
        auto made = VolumeWriter::create(*engine_, path_, {.block_bytes = block_bytes, .compress = compress, .data_file_bytes_max = 2 << 20});
        EXPECT_TRUE(made) << made.error().message;
        writer_ = std::move(*made);
    }

    void step() {
        switch (draw_() % 12) {
            case 0:
            case 1:
            case 2:
            case 3: change(); break;
            case 4:
            case 5:
            case 6: sync(); break;
            case 7: interrupt(); break;
            case 8: prune(); break;
            case 9: reopen(); break;
            case 10: check_one(); break;
            case 11: fault(); break;
        }
    }

    void check_all() {
        reopen();
        auto all = writer_->volume()->generations();
        ASSERT_TRUE(all) << all.error().message;
        ASSERT_EQ(all->size(), states_.size());
        for (const Generation& generation : *all) check(generation);
    }

  private:
    void change() {
        if (draw_() % 20 == 0) {
            disk_.resize(400000 + draw_() % 1000000);
            changes_.clear();
            return;
        }
        uint64_t offset = draw_() % disk_.size();
        uint64_t length = std::min<uint64_t>(disk_.size() - offset, 1 + draw_() % (draw_() % 4 == 0 ? 300000 : 5000));
        auto range = std::span(disk_).subspan(offset, length);
        if (draw_() % 3 == 0)
            std::ranges::fill(range, std::byte{0});
        else if (draw_() % 3 == 0)
            std::ranges::fill(range, static_cast<std::byte>(draw_() % 256));
        else
            test::fill_randomly(range, draw_);
        changes_.push_back({offset, length});
    }

    // The same as long as the disk does not change.
    std::string state_id() const { return hex(xxh3_128(disk_)); }

    // What the source says of itself: sometimes nothing, sometimes what changed since the newest generation.
    std::shared_ptr<const ChangeMap> told() {
        if (draw_() % 3 == 0) return nullptr;
        auto runs = changes_;
        std::ranges::sort(runs, {}, &ChangedRun::offset);
        return std::make_shared<test::ToldChanges>(state_id(), newest_id_, std::move(runs));
    }

    Result<SyncReport> try_sync(SyncOptions options) {
        options.sampled_blocks = static_cast<unsigned>(draw_() % 3);
        options.sample_seed = draw_();
        options.threads = static_cast<unsigned>(1 + draw_() % 2);
        return sync_volume(*writer_, {test::disk_of(*engine_, disk_), "memory", told()}, options);
    }

    void took(const SyncReport& report) {
        EXPECT_EQ(report.why_all.find("was said to be unchanged"), std::string::npos) << report.why_all;
        states_[report.generation.number] = disk_;
        newest_id_ = state_id();
        changes_.clear();
        EXPECT_EQ(hex(report.generation.root), hex(test::root_of_bytes(disk_)));
    }

    void sync() {
        auto report = try_sync({});
        ASSERT_TRUE(report) << report.error().message;
        took(*report);
    }

    void interrupt() {
        uint64_t left = draw_() % 10;
        SyncOptions options;
        options.stop = [&] { return left-- == 0; };
        auto report = try_sync(options);
        if (report) return took(*report);
        EXPECT_EQ(report.error().code, ECANCELED) << report.error().message;
    }

    void fault() {
        if (!faults_) return;
        auto kind = static_cast<test::Operation>(draw_() % 3);
        test::Fault fault{draw_() % 2 == 0 ? EIO : ENOSPC, draw_() % 5000, draw_() % 3 == 0};
        io_->fail(kind, draw_() % 20, fault);
        SyncOptions options;
        options.limits.retries_max = 0;
        auto report = try_sync(options);
        if (report) took(*report);
        io_->heal();
        // What a failed commit left is a whole generation or none.
        reopen();
        auto all = writer_->volume()->generations();
        ASSERT_TRUE(all) << all.error().message;
        EXPECT_EQ(all->size(), states_.size());
    }

    void prune() {
        if (states_.size() < 2) return;
        auto at = std::next(states_.begin(), static_cast<ptrdiff_t>(draw_() % (states_.size() - 1)));
        auto pruned = writer_->prune(at->first);
        ASSERT_TRUE(pruned) << pruned.error().message;
        states_.erase(at);
    }

    void reopen() {
        writer_ = nullptr;
        auto opened = VolumeWriter::open(*engine_, path_);
        ASSERT_TRUE(opened) << opened.error().message;
        writer_ = std::move(*opened);
    }

    void check_one() {
        if (states_.empty()) return;
        auto at = std::next(states_.begin(), static_cast<ptrdiff_t>(draw_() % states_.size()));
        auto generation = writer_->volume()->find(std::to_string(at->first));
        ASSERT_TRUE(generation) << generation.error().message;
        check(*generation);
        auto other = std::next(states_.begin(), static_cast<ptrdiff_t>(draw_() % states_.size()));
        check_changes(std::min(at->first, other->first), std::max(at->first, other->first));
    }

    void check(const Generation& generation) {
        const auto& expected = states_.at(generation.number);
        ASSERT_EQ(generation.size_bytes, expected.size());
        EXPECT_EQ(test::read_generation(*writer_->volume(), generation.number) == expected, true) << generation.number;
        auto report = verify_generation(*writer_->volume(), generation, {});
        ASSERT_TRUE(report) << report.error().message;
        EXPECT_EQ(report->verdict(), Verdict::good) << generation.number;
    }

    void check_changes(uint32_t from, uint32_t to) {
        const auto &before = states_.at(from), &after = states_.at(to);
        if (from == to || before.size() != after.size()) return;
        auto changed = writer_->volume()->changed(from, to);
        ASSERT_TRUE(changed) << changed.error().message;
        for (uint64_t at = 0; at < before.size(); at += block_bytes_) {
            size_t length = std::min<size_t>(block_bytes_, before.size() - at);
            bool same = std::equal(before.begin() + static_cast<ptrdiff_t>(at), before.begin() + static_cast<ptrdiff_t>(at + length),
                                   after.begin() + static_cast<ptrdiff_t>(at));
            EXPECT_TRUE(same || changed->contains(at / block_bytes_)) << "block at " << at << " from " << from << " to " << to;
        }
    }

    std::mt19937_64 draw_;
    const uint32_t block_bytes_;
    const bool faults_;
    test::ScratchDir scratch_;
    std::string path_ = scratch_.path("disk.volume");
    test::FaultyIo* io_ = nullptr;
    std::unique_ptr<Engine> engine_;
    std::unique_ptr<VolumeWriter> writer_;
    std::vector<std::byte> disk_;
    std::vector<ChangedRun> changes_;  // since the newest generation
    std::string newest_id_;            // its state_id()
    std::map<uint32_t, std::vector<std::byte>> states_;
};

void run_model(uint32_t block_bytes, bool compress, bool faults) {
    uint64_t steps = number_of("HYPER_MODEL_STEPS", 400), seed = number_of("HYPER_MODEL_SEED", 20261123);
    Model model(seed, block_bytes, compress, faults);
    for (uint64_t i = 0; i < steps && !testing::Test::HasFailure(); ++i) {
        SCOPED_TRACE(fmt::format("seed {} step {}", seed, i));
        model.step();
    }
    if (!testing::Test::HasFailure()) model.check_all();
}

TEST(VolumeModel, small_blocks) { run_model(4 << 10, true, false); }
TEST(VolumeModel, blocks_of_a_leaf) { run_model(64 << 10, true, false); }
TEST(VolumeModel, large_blocks) { run_model(256 << 10, false, false); }
TEST(VolumeModel, faults_with_small_blocks) { run_model(4 << 10, true, true); }
TEST(VolumeModel, faults_with_blocks_of_a_leaf) { run_model(64 << 10, false, true); }

}  // namespace
}  // namespace hyper
