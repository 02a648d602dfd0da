// SPDX-License-Identifier: Apache-2.0
// Metadata contexts of what changed since earlier states of a disk.
#include "nbdserver/dirty_bitmap.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <map>
#include <thread>

#include "convert/image.h"
#include "convert/view.h"
#include "nbdserver/protocol.h"
#include "tests/support/support.h"

namespace hyper::nbd {
namespace {

constexpr uint64_t disk_bytes = 1 << 20;

// Knows some states, and counts how often it is asked about them.
class FakeChanges : public ChangeMap {
  public:
    std::string disk() const override { return "fake:1"; }
    std::string change_id() const override { return id; }
    std::vector<std::string> earlier() const override { return names; }
    Result<std::optional<std::vector<ChangedRun>>> changed_since(std::string_view state) const override {
        ++asked;
        if (failing) return fail(EIO, "fake:1: the index cannot be read");
        auto at = known.find(std::string(state));
        return at == known.end() ? std::nullopt : std::optional(at->second);
    }

    std::string id = "9:x";
    std::vector<std::string> names;
    std::map<std::string, std::vector<ChangedRun>> known;
    mutable std::atomic<int> asked = 0;
    bool failing = false;
};

class FakeImage : public Image {
  public:
    explicit FakeImage(std::shared_ptr<const ChangeMap> changes) : Image("fake", {}) {
        size_bytes_ = disk_bytes;
        changes_ = std::move(changes);
    }
    Result<void> map(uint64_t, uint64_t length, PieceList& out) const override {
        out.zeros(length);
        return {};
    }
};

struct Told {
    uint64_t length, state;
    bool operator==(const Told&) const = default;
};
void PrintTo(const Told& told, std::ostream* out) { *out << told.length << ":" << told.state; }

class DirtyBitmaps : public testing::Test {
  protected:
    std::vector<std::shared_ptr<const Context>> contexts() { return dirty_contexts(std::make_shared<FakeImage>(changes_), runs_); }
    std::shared_ptr<const Context> context(const std::string& state) {
        changes_->names = {state};
        return contexts().at(0);
    }
    static std::vector<Told> told(const Context& context, uint64_t offset = 0, uint64_t length = disk_bytes, size_t limit = SIZE_MAX) {
        std::vector<Told> all;
        auto result = context.describe(offset, length, [&](uint64_t run, uint64_t state) {
            all.push_back({run, state});
            return all.size() < limit;
        });
        EXPECT_TRUE(result) << result.error().message;
        return all;
    }

    std::shared_ptr<FakeChanges> changes_ = std::make_shared<FakeChanges>();
    std::shared_ptr<ChangedRuns> runs_ = std::make_shared<ChangedRuns>();
};

TEST_F(DirtyBitmaps, there_is_one_for_each_earlier_state_newest_first) {
    changes_->names = {"8", "7", "3"};
    std::vector<std::string> names;
    for (const auto& one : contexts()) names.push_back(one->name());
    EXPECT_EQ(names, (std::vector<std::string>{"qemu:dirty-bitmap:8", "qemu:dirty-bitmap:7", "qemu:dirty-bitmap:3"}));
    EXPECT_EQ(changes_->asked, 0);
}

TEST_F(DirtyBitmaps, there_are_so_many_at_most) {
    for (size_t i = dirty_contexts_max + 9; i > 0; --i) changes_->names.push_back(std::to_string(i));
    auto all = contexts();
    ASSERT_EQ(all.size(), dirty_contexts_max);
    EXPECT_EQ(all.front()->name(), "qemu:dirty-bitmap:" + changes_->names.front());
}

TEST_F(DirtyBitmaps, there_are_none_of_a_disk_without_a_past_nor_of_a_view) {
    EXPECT_TRUE(dirty_contexts(std::make_shared<FakeImage>(nullptr), runs_).empty());
    changes_->names = {"8"};
    ViewInput input;
    input.disk = std::make_shared<FakeImage>(changes_);
    auto raw = open_view(**find_view_kind(Format::raw, ""), input), qcow2 = open_view(**find_view_kind(Format::qcow2, ""), input);
    ASSERT_TRUE(raw && qcow2);
    EXPECT_EQ(dirty_contexts(*raw, runs_).size(), 1u);
    EXPECT_TRUE(dirty_contexts(*qcow2, runs_).empty());
}

TEST_F(DirtyBitmaps, tell_runs_and_what_lies_between_in_order) {
    changes_->known["1"] = {{0, 4096}, {65536, 8192}, {disk_bytes - 10, 10}};
    auto one = context("1");
    EXPECT_EQ(told(*one), (std::vector<Told>{{4096, 1}, {61440, 0}, {8192, 1}, {disk_bytes - 10 - 73728, 0}, {10, 1}}));
    EXPECT_EQ(told(*one, 4095, 2), (std::vector<Told>{{1, 1}, {1, 0}}));
    EXPECT_EQ(told(*one, 4096, 10), (std::vector<Told>{{10, 0}}));
    EXPECT_EQ(told(*one, 66000, 100), (std::vector<Told>{{100, 1}}));
    EXPECT_EQ(told(*one, 70000, 10000), (std::vector<Told>{{3728, 1}, {6272, 0}}));
}

TEST_F(DirtyBitmaps, of_nothing_that_changed_are_clean) {
    changes_->known["1"] = {};
    EXPECT_EQ(told(*context("1")), (std::vector<Told>{{disk_bytes, 0}}));
}

TEST_F(DirtyBitmaps, join_runs_that_touch) {
    changes_->known["1"] = {{4096, 4096}, {8192, 4096}, {16384, 4096}};
    EXPECT_EQ(told(*context("1"), 0, 20480), (std::vector<Told>{{4096, 0}, {8192, 1}, {4096, 0}, {4096, 1}}));
}

TEST_F(DirtyBitmaps, stop_when_the_visitor_does) {
    changes_->known["1"] = {{4096, 4096}, {16384, 4096}};
    EXPECT_EQ(told(*context("1"), 0, disk_bytes, 1), (std::vector<Told>{{4096, 0}}));
    EXPECT_EQ(told(*context("1"), 0, disk_bytes, 2), (std::vector<Told>{{4096, 0}, {4096, 1}}));
}

TEST_F(DirtyBitmaps, of_a_state_that_is_not_known_any_more_are_all_dirty) {
    EXPECT_EQ(told(*context("1")), (std::vector<Told>{{disk_bytes, 1}}));
}

TEST_F(DirtyBitmaps, are_fetched_once_for_all_who_ask) {
    changes_->known["1"] = {{4096, 4096}};
    auto one = context("1"), other = context("1");
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) threads.emplace_back([&, i] { told(i % 2 == 0 ? *one : *other); });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(changes_->asked, 1);
}

TEST_F(DirtyBitmaps, of_other_states_of_the_disk_are_others) {
    changes_->known["1"] = {{4096, 4096}};
    told(*context("1"));
    changes_->id = "10:y";
    changes_->known["1"] = {{0, disk_bytes}};
    EXPECT_EQ(told(*context("1")), (std::vector<Told>{{disk_bytes, 1}}));
}

TEST_F(DirtyBitmaps, that_were_not_used_for_long_are_fetched_again) {
    runs_ = std::make_shared<ChangedRuns>(1);
    changes_->known = {{"1", {{4096, 4096}}}, {"2", {{8192, 4096}}}};
    for (int i = 0; i < 2; ++i)
        for (std::string state : {"1", "2", "2"}) told(*context(state));
    EXPECT_EQ(changes_->asked, 4);
}

TEST_F(DirtyBitmaps, that_cannot_be_read_are_an_error_and_asked_for_again) {
    changes_->known["1"] = {{4096, 4096}};
    changes_->failing = true;
    auto one = context("1");
    auto failed = one->describe(0, disk_bytes, [](uint64_t, uint64_t) { return true; });
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, EIO);
    changes_->failing = false;
    EXPECT_EQ(told(*one, 0, 8192), (std::vector<Told>{{4096, 0}, {4096, 1}}));
}

}  // namespace
}  // namespace hyper::nbd
