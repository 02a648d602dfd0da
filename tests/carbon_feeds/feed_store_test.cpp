// SPDX-License-Identifier: Apache-2.0
// Answers that are kept: over restarts, power cuts and damage.
#include "carbon/feeds/feed_store.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/carbon_feeds/scratch.h"

namespace hyper::carbon {
namespace {

using namespace std::chrono;

constexpr Instant noon = sys_days(2026y / March / 1) + hours(12);

StoredAnswer issue(Instant at, std::vector<double> values) {
    return {StoredAnswer::What::forecast, at, at - minutes(10), {StepSeries(at, hours(1), std::move(values)), {}}};
}

void append_bytes(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary | std::ios::app) << bytes; }

void flip_byte(const std::string& path, uint64_t offset) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekg(static_cast<std::streamoff>(offset));
    char byte = static_cast<char>(file.get());
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(static_cast<char>(byte ^ 1));
}

class KeptAnswers : public testing::Test {
  protected:
    AnswerFile open() { return AnswerFile::open(path_, SignalKind::average).value(); }
    std::vector<StoredAnswer> kept() { return open().take_answers(); }
    size_t file_records() { return RecordFile::open(path_).value().take_records().size(); }

    Scratch scratch_;
    std::string path_ = scratch_.path("x-DE.answers");
};

TEST_F(KeptAnswers, come_back_as_they_were) {
    StoredAnswer measured{StoredAnswer::What::measured, noon, {}, {StepSeries(noon - hours(2), hours(1), {301.25, NAN}), {false, true}}};
    {
        AnswerFile file = open();
        ASSERT_TRUE(file.add({measured}));
        ASSERT_TRUE(file.add({issue(noon, {1, 2, 3})}));
    }
    auto answers = kept();
    ASSERT_EQ(answers.size(), 2u);
    EXPECT_EQ(answers[0].what, StoredAnswer::What::measured);
    EXPECT_EQ(answers[0].received_at, noon);
    EXPECT_EQ(answers[0].steps.series.start(), noon - hours(2));
    EXPECT_EQ(answers[0].steps.series.values()[0], 301.25);
    EXPECT_TRUE(std::isnan(answers[0].steps.series.values()[1]));
    EXPECT_EQ(answers[0].steps.estimated, (std::vector<bool>{false, true}));
    EXPECT_EQ(answers[1].issued_at, noon - minutes(10));
    EXPECT_EQ(answers[1].steps.series.values(), (std::vector<double>{1, 2, 3}));
}

TEST_F(KeptAnswers, lose_a_torn_tail_and_go_on) {
    ASSERT_TRUE(open().add({issue(noon, {1})}));
    append_bytes(path_, "HCFEED1\n half of a rec");
    {
        AnswerFile file = open();
        EXPECT_EQ(file.take_answers().size(), 1u);
        ASSERT_TRUE(file.add({issue(noon + hours(1), {2})}));
    }
    EXPECT_EQ(kept().size(), 2u);
}

TEST_F(KeptAnswers, lose_only_the_damaged_one_of_three) {
    uint64_t first = 0;
    for (int i = 0; i < 3; i++) {
        ASSERT_TRUE(open().add({issue(noon + hours(i), {double(i)})}));
        if (i == 0) first = std::filesystem::file_size(path_);
    }
    flip_byte(path_, first + 40);
    auto answers = kept();
    ASSERT_EQ(answers.size(), 2u);
    EXPECT_EQ(answers[1].steps.series.values()[0], 2);
}

TEST_F(KeptAnswers, survive_a_cut_at_any_byte) {
    ASSERT_TRUE(open().add({issue(noon, {1})}));
    uint64_t one = std::filesystem::file_size(path_);
    ASSERT_TRUE(open().add({issue(noon + hours(1), {2})}));
    uint64_t two = std::filesystem::file_size(path_);
    for (uint64_t size = two; size-- > one;) {
        std::filesystem::resize_file(path_, size);
        EXPECT_EQ(kept().size(), 1u) << size;
    }
}

TEST_F(KeptAnswers, are_removed_when_they_are_old) {
    ASSERT_TRUE(open().add({issue(noon, {1})}));
    ASSERT_TRUE(open().add({issue(noon + days(44), {2})}));
    EXPECT_EQ(kept().size(), 2u);
    ASSERT_TRUE(open().add({issue(noon + days(46), {3})}));
    EXPECT_EQ(kept().size(), 2u);
    AnswerFile file = open();
    ASSERT_TRUE(file.add({issue(noon + days(90), {4})}));
    ASSERT_TRUE(file.add({issue(noon + days(95), {5})})) << "while it is open, too";
    EXPECT_EQ(file_records(), 2u);
}

TEST_F(KeptAnswers, survive_a_record_of_the_far_future) {
    for (int day = 0; day < 40; day++) ASSERT_TRUE(open().add({issue(noon + days(day), {1})}));
    {
        AnswerFile file = open();
        ASSERT_TRUE(file.add({issue(noon + days(365 * 20), {2})}));
        ASSERT_TRUE(file.add({issue(noon + days(40), {3})})) << "the clock was put right";
        ASSERT_TRUE(file.add({issue(noon + days(41), {4})}));
    }
    EXPECT_EQ(kept().size(), 43u);
}

TEST_F(KeptAnswers, of_the_other_signal_are_left_out) {
    ASSERT_TRUE(open().add({issue(noon, {1})}));
    EXPECT_TRUE(AnswerFile::open(path_, SignalKind::marginal).value().take_answers().empty());
}

TEST_F(KeptAnswers, of_impossible_numbers_are_left_out) {
    StoredAnswer answer = issue(noon, {1});
    Bytes good = encode_answer(answer, SignalKind::average);
    ASSERT_TRUE(decode_answer({noon, good}, SignalKind::average));
    for (auto [offset, byte] : {std::pair<size_t, int>{0, 7}, {4, 1}, {24, 200}, {23, 127}, {15, 200}}) {
        Bytes bad = good;
        bad[offset] = static_cast<std::byte>(byte);
        if (offset == 4) bad[5] = std::byte{0};
        EXPECT_FALSE(decode_answer({noon, bad}, SignalKind::average)) << offset;
    }
    EXPECT_FALSE(decode_answer({noon, {}}, SignalKind::average));
}

TEST(FeedStore, is_one_processs_at_a_time) {
    Scratch scratch;
    auto store = FeedStore::open(scratch.path("feeds"));
    ASSERT_TRUE(store) << store.error().message;
    EXPECT_EQ(FeedStore::open(scratch.path("feeds")).error().code, EBUSY);
    store->reset();
    EXPECT_TRUE(FeedStore::open(scratch.path("feeds")));
}

TEST(FeedStore, takes_no_name_that_leaves_its_folder) {
    Scratch scratch;
    auto store = FeedStore::open(scratch.path("feeds")).value();
    EXPECT_FALSE(store->open_answers("x", "../DE", SignalKind::average));
    EXPECT_FALSE(store->open_answers("x/y", "DE", SignalKind::average));
    EXPECT_TRUE(store->open_answers("electricitymaps", "US-CAL-CISO", SignalKind::average));
}

}  // namespace
}  // namespace hyper::carbon
