// SPDX-License-Identifier: Apache-2.0
// A draft against a plain array: random writes, zeros, trims, flushes, failures, power cuts and reopens, from a printed seed.
// HYPER_MODEL_STEPS=1000000 runs it for longer, HYPER_MODEL_SEED=N again.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <random>

#include "blockengine/base/log.h"
#include "blockengine/volume/draft.h"
#include "tests/support/support.h"
#include "tests/volume/power_cut.h"

namespace hyper {
namespace {

using Bytes = std::vector<std::byte>;
using test::PowerCutIo;

constexpr uint64_t unit_bytes = 512;

uint64_t number_from(const char* variable, uint64_t otherwise) {
    const char* text = std::getenv(variable);
    return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

// The disk as it should be: each unit has its content, and all contents that it may have after a power cut.
class Model {
  public:
    explicit Model(Bytes bytes) { set(std::move(bytes)); }

    const Bytes& bytes() const { return now_; }
    void set(Bytes bytes) {
        now_ = std::move(bytes);
        flushed();
    }
    void flushed() { older_.assign(divide_up(now_.size(), unit_bytes), {}); }
    template <class Change>
    void change(uint64_t offset, uint64_t length, Change change) {
        for (uint64_t unit = offset / unit_bytes; unit * unit_bytes < offset + length; ++unit)
            older_[unit].push_back(Bytes(at(now_, unit).begin(), at(now_, unit).end()));
        change(std::span(now_).subspan(offset, length));
    }
    // The first unit that has a content which it may not have; nullopt where all is well. `mixed`: it may be put together
    // of several, since of writes that failed, any bytes may be there.
    std::optional<uint64_t> wrong_after_power_cut(const Bytes& found, bool mixed) const {
        for (uint64_t unit = 0; unit < older_.size(); ++unit) {
            std::span<const std::byte> bytes = at(found, unit), present = at(now_, unit);
            auto is = [&](std::span<const std::byte> content) { return std::ranges::equal(bytes, content); };
            if (is(present) || std::ranges::any_of(older_[unit], is)) continue;
            bool each_byte = mixed;
            for (size_t i = 0; each_byte && i < bytes.size(); ++i)
                each_byte = bytes[i] == present[i] ||
                            std::ranges::any_of(older_[unit], [&](const Bytes& older) { return older[i] == bytes[i]; });
            if (!each_byte) return unit;
        }
        return std::nullopt;
    }

  private:
    static std::span<const std::byte> at(const Bytes& bytes, uint64_t unit) {
        return std::span(bytes).subspan(unit * unit_bytes, std::min(unit_bytes, bytes.size() - unit * unit_bytes));
    }

    Bytes now_;
    std::vector<std::vector<Bytes>> older_;
};

class Story {
  public:
    Story(uint64_t seed, PowerCutIo::Lie lie, bool failing)
        : random_(seed), failing_(failing), engine_(std::make_unique<PowerCutIo>(random_, lie), MiB),
          io_(static_cast<PowerCutIo&>(engine_.io())) {
        identity_.size_bytes = 60 * draft_sector_bytes + random_() % 3 * 700;
        // A base that is shorter than the disk.
        auto base = test::pattern(identity_.size_bytes - 5000, test::random_runs(identity_.size_bytes - 5000, 4096, 0.6, seed));
        base_ = base;
        base_bytes_.resize(identity_.size_bytes);
        EXPECT_TRUE(engine_.read(*base, 0, std::span(base_bytes_).first(base->size_bytes())));
        model_.set(base_bytes_);
    }

    // What is wrong, or nothing.
    std::string go(uint64_t steps) {
        folder_ = scratch_.path("draft-0");
        open();
        for (uint64_t step = 0; step < steps && wrong_.empty(); ++step) {
            // The power may go in the midst of what this step does, and does whenever the log is rewritten.
            cut_ = random_() % 40 == 0;
            std::string image = scratch_.path("draft-" + std::to_string(++images_));
            if (cut_)
                io_.cut_power(static_cast<unsigned>(random_() % 6), image);
            else
                io_.cut_power_after("map.new", image);
            act();
            io_.disarm();
            if (cut_ || io_.cut_pending() || io_.cut_done()) {
                io_.finish_image();
                draft_ = nullptr;
                std::filesystem::remove_all(folder_);
                folder_ = image;
                open();
                after_power_cut();
            } else if (random_() % 20 == 0) {
                compare();
            }
            if (!wrong_.empty()) wrong_ += " in step " + std::to_string(step);
        }
        return wrong_;
    }

  private:
    void open() {
        auto draft = Draft::open(folder_, identity_, base_, engine_);
        if (!draft) return tell(draft.error().message);
        draft_ = *draft;
        io_.watch(folder_);
        io_.failing_syncs = failing_ ? 100 : 0;
        io_.failing_writes = failing_ ? 30 : 0;
    }

    void act() {
        uint64_t size = identity_.size_bytes, offset = random_() % size;
        uint64_t length = std::min(size - offset, random_() % std::array<uint64_t, 4>{600, 4096, 9000, 40000}[random_() % 4] + 1);
        if (random_() % 3 == 0) {
            offset = round_down(offset, draft_sector_bytes);
            length = std::min(size - offset, round_up(length, draft_sector_bytes));
        }
        if (cut_ && random_() % 2 == 0) return flush();
        switch (random_() % 8) {
            case 0:
                return zero(offset, length);
            case 1:
                return trim(offset, length);
            case 2:
            case 3:
                return flush();
            case 4:
                return failing_ ? fail_to_write(offset, length) : write(offset, length);
            default:
                return write(offset, length);
        }
    }

    Bytes fresh_bytes(uint64_t length) {
        Bytes bytes(length);
        for (std::byte& byte : bytes) byte = static_cast<std::byte>(random_() | 1);
        return bytes;
    }
    void put(uint64_t offset, std::span<const std::byte> bytes) {
        model_.change(offset, bytes.size(), [&](std::span<std::byte> range) { std::ranges::copy(bytes, range.begin()); });
    }

    void write(uint64_t offset, uint64_t length) {
        Bytes bytes = fresh_bytes(length);
        bool durable = random_() % 10 == 0;
        auto done = hyper::write(*draft_, offset, bytes, durable);
        put(offset, bytes);
        if (done && durable) flushed();
        if (!done) any_of_both(offset, length);
        if (!done && !failing_) tell(done.error().message);
    }
    // The caller's own write fails halfway.
    void fail_to_write(uint64_t offset, uint64_t length) {
        if (!draft_->prepare_write(offset, length)) return;
        Bytes part = fresh_bytes(random_() % length);
        EXPECT_EQ(::pwrite(draft_->fd(), part.data(), part.size(), static_cast<off_t>(offset)), static_cast<ssize_t>(part.size()));
        put(offset, part);
        draft_->written(offset, length, 0, EIO);
        any_of_both(offset, length);
    }
    void zero(uint64_t offset, uint64_t length) {
        auto done = draft_->zero(offset, length, random_() % 2 == 0, false);
        model_.change(offset, length, [](std::span<std::byte> range) { std::ranges::fill(range, std::byte{0}); });
        if (!done) any_of_both(offset, length);
    }
    void trim(uint64_t offset, uint64_t length) {
        uint64_t begin = round_up(offset, draft_sector_bytes);
        uint64_t end = offset + length == identity_.size_bytes ? offset + length : round_down(offset + length, draft_sector_bytes);
        auto done = draft_->trim(offset, length);
        if (!done) return tell(done.error().message);
        if (begin < end)
            model_.change(begin, end - begin, [](std::span<std::byte> range) { std::ranges::fill(range, std::byte{0}); });
    }
    void flush() {
        auto done = draft_->flush();
        if (done) flushed();
        if (!done && !failing_) tell(done.error().message);
    }
    // For whoever is there after a power cut only what ended before that counts.
    void flushed() {
        if (!io_.cut_done()) model_.flushed();
        if (io_.sync_failed()) tell("a flush went well after a sync had failed");
    }

    // After a failure: what is there was there before, or was to be written.
    void any_of_both(uint64_t offset, uint64_t length) {
        Bytes found = read();
        if (auto unit = model_.wrong_after_power_cut(found, true))
            return tell("unit " + std::to_string(*unit) + " is wrong after a failure");
        model_.change(offset, length, [&](std::span<std::byte> range) {
            std::copy_n(found.begin() + static_cast<ptrdiff_t>(offset), length, range.begin());
        });
        if (found != model_.bytes()) tell("a failed write has changed other bytes");
    }

    Bytes read() {
        Bytes bytes(identity_.size_bytes);
        auto done = engine_.read(*draft_->source(), 0, bytes);
        if (!done) tell(done.error().message);
        return bytes;
    }
    void compare() {
        Bytes bytes = read();
        if (bytes != model_.bytes())
            tell("byte " + std::to_string(std::ranges::mismatch(bytes, model_.bytes()).in1 - bytes.begin()) + " is wrong");
        check_changed(bytes);
    }
    void after_power_cut() {
        if (!wrong_.empty()) return;
        Bytes bytes = read();
        if (auto unit = model_.wrong_after_power_cut(bytes, failing_)) tell("unit " + std::to_string(*unit) + " is wrong after a power cut");
        check_changed(bytes);
        model_.set(std::move(bytes));
    }
    // What differs from the base is among what is said to have changed.
    void check_changed(const Bytes& bytes) {
        std::vector<bool> changed(divide_up(bytes.size(), draft_sector_bytes));
        draft_->visit_changed([&](const SectorRun& run) {
            std::fill_n(changed.begin() + static_cast<ptrdiff_t>(run.first), run.count, true);
            return true;
        });
        for (uint64_t i = 0; i < bytes.size(); ++i)
            if (bytes[i] != base_bytes_[i] && !changed[i / draft_sector_bytes])
                return tell("sector " + std::to_string(i / draft_sector_bytes) + " has changed, and is not said to have");
    }
    void tell(std::string what) {
        if (wrong_.empty()) wrong_ = std::move(what);
    }

    std::mt19937_64 random_;
    const bool failing_;
    bool cut_ = false;
    test::ScratchDir scratch_;
    Engine engine_;
    PowerCutIo& io_;
    DraftIdentity identity_{.base_generation = 1};
    std::shared_ptr<const Source> base_;
    Bytes base_bytes_;
    Model model_{{}};
    std::shared_ptr<Draft> draft_;
    std::string folder_, wrong_;
    unsigned images_ = 0;
};

class DraftModelTest : public testing::Test {
  protected:
    void SetUp() override {
        set_log_level(LogLevel::error);
        std::cout << "HYPER_MODEL_SEED=" << seed_ << "\n";
    }
    void TearDown() override { set_log_level(LogLevel::warning); }
    std::string run(PowerCutIo::Lie lie, bool failing) { return Story(seed_, lie, failing).go(steps_); }
    bool found_out(PowerCutIo::Lie lie) {
        for (uint64_t again = 0; again < 20; ++again)
            if (!Story(seed_ + again, lie, false).go(steps_).empty()) return true;
        return false;
    }

    const uint64_t seed_ = number_from("HYPER_MODEL_SEED", std::random_device()());
    const uint64_t steps_ = number_from("HYPER_MODEL_STEPS", 10000);
};

TEST_F(DraftModelTest, keeps_what_was_flushed_whenever_the_power_is_cut) {
    EXPECT_EQ(run(PowerCutIo::Lie::none, false), "");
}

TEST_F(DraftModelTest, keeps_what_was_flushed_though_syncs_and_writes_fail) {
    EXPECT_EQ(run(PowerCutIo::Lie::none, true), "");
}

// That the model would find it out: a draft whose syncs are left out, or come in the wrong order.

TEST_F(DraftModelTest, finds_out_that_the_data_was_never_synced) {
    EXPECT_TRUE(found_out(PowerCutIo::Lie::data_never_synced));
}

TEST_F(DraftModelTest, finds_out_that_the_log_was_never_synced) {
    EXPECT_TRUE(found_out(PowerCutIo::Lie::map_never_synced));
}

TEST_F(DraftModelTest, finds_out_that_the_folder_was_never_synced) {
    EXPECT_TRUE(found_out(PowerCutIo::Lie::folder_never_synced));
}

TEST_F(DraftModelTest, finds_out_that_the_data_was_synced_after_the_log) {
    EXPECT_TRUE(found_out(PowerCutIo::Lie::data_synced_after_map));
}

}  // namespace
}  // namespace hyper
