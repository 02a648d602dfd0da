// SPDX-License-Identifier: Apache-2.0
#include "blockengine/fetch/fetcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

#include "blockengine/file_reads.h"
#include "tests/support/fake_remote.h"

namespace hyper {
namespace {

using test::FakeRemote;

constexpr uint64_t block = CacheFile::block_bytes_max;

// A read that somebody waits for.
struct Reader {
    uint64_t offset;
    Bytes buffer;
    unsigned ends = 0;
    Result<void> result;

    Reader(uint64_t at, size_t length) : offset(at), buffer(length) {}
    FarReader::Read read() {
        return {offset, buffer, [this](Result<void> ended) {
                    ++ends;
                    result = std::move(ended);
                }};
    }
    bool waits() const { return ends == 0; }
    bool right() const { return ends == 1 && result && buffer == test::bytes_at(offset, buffer.size()); }
    int error() const { return ends == 1 && !result ? result.error().code : 0; }
};

class FetcherTest : public testing::Test {
  protected:
    void make(FakeRemote::Limits limits = {}, size_t memory_bytes = FetchShare::memory_bytes) {
        remote_ = std::make_shared<FakeRemote>(limits);
        share_ = std::make_shared<FetchShare>(nullptr, memory_bytes);
        fetcher_ = std::make_unique<Fetcher>(remote_, share_);
    }
    void SetUp() override { make(); }
    // Each read of a remote ends, as it promises.
    void TearDown() override {
        if (remote_) remote_->answer_all();
    }

    Reader& read(uint64_t offset, size_t length) {
        Reader& reader = *readers_.emplace_back(std::make_unique<Reader>(offset, length));
        fetcher_->begin({reader.read()});
        return reader;
    }
    // Reads a run of the file in small reads, so that it is known as a stream; all are answered.
    void stream(uint64_t offset, uint64_t length, size_t step = block) {
        for (uint64_t at = offset; at < offset + length; at += step) {
            read(at, step);
            remote_->answer_all();
        }
    }
    uint64_t ahead_of(uint64_t offset) const {
        uint64_t end = offset;
        for (const auto& each : remote_->asked()) end = std::max(end, each.end());
        return end - offset;
    }

    std::shared_ptr<FakeRemote> remote_;
    std::shared_ptr<FetchShare> share_;
    std::unique_ptr<Fetcher> fetcher_;
    std::vector<std::unique_ptr<Reader>> readers_;
};

TEST_F(FetcherTest, gives_each_reader_its_bytes) {
    Reader& one = read(1000, 500);
    Reader& two = read(10 * block - 7, 2 * block);
    remote_->answer_all();
    EXPECT_TRUE(one.right());
    EXPECT_TRUE(two.right());
}

TEST_F(FetcherTest, gives_the_last_bytes_of_a_size_that_is_no_multiple_of_anything) {
    make({.size_bytes = 5 * block + 4711});
    Reader& last = read(5 * block + 4000, 711);
    remote_->answer_all();
    EXPECT_TRUE(last.right());
}

TEST_F(FetcherTest, asks_once_for_a_block_that_two_want) {
    Reader& one = read(0, 4096);
    Reader& two = read(8192, 4096);
    EXPECT_EQ(remote_->count(), 1u);
    remote_->answer_all();
    EXPECT_TRUE(one.right());
    EXPECT_TRUE(two.right());
}

TEST_F(FetcherTest, asks_no_second_time_for_what_is_in_memory) {
    read(0, 4096);
    remote_->answer_all();
    Reader& again = read(100, 4096);
    EXPECT_TRUE(again.right());
    EXPECT_EQ(remote_->count(), 1u);
}

TEST_F(FetcherTest, makes_one_request_of_neighbours_that_are_begun_together) {
    Reader one(4 * block, block), two(5 * block, block), far(20 * block, block);
    fetcher_->begin({two.read(), far.read(), one.read()});
    auto asked = remote_->asked();
    ASSERT_EQ(asked.size(), 2u);
    EXPECT_EQ(asked[0].offset, 4 * block);
    EXPECT_EQ(asked[0].length, 2 * block);
    remote_->answer_all();
    EXPECT_TRUE(one.right() && two.right() && far.right());
}

TEST_F(FetcherTest, begins_all_ranges_of_a_batch_before_any_is_answered) {
    std::vector<std::unique_ptr<Reader>> readers;
    std::vector<FarReader::Read> reads;
    for (uint64_t i = 0; i < 4; ++i) {
        readers.push_back(std::make_unique<Reader>(i * 30 * block, block));
        reads.push_back(readers.back()->read());
    }
    fetcher_->begin(std::move(reads));
    EXPECT_EQ(remote_->count(), 4u);
    remote_->answer_all();
}

TEST_F(FetcherTest, joins_more_where_the_remote_says_that_it_costs_little) {
    make({.request_bytes_good = 1 << 20});
    Reader& large = read(0, 2 * MiB);
    EXPECT_EQ(remote_->asked().at(0).length, MiB);
    EXPECT_EQ(remote_->asked().at(1).length, MiB);
    Reader& small = read(16 * MiB, 4096);
    EXPECT_EQ(remote_->asked().back().length, block);
    remote_->answer_all();
    EXPECT_TRUE(large.right() && small.right());
}

TEST_F(FetcherTest, cuts_requests_to_what_the_remote_takes) {
    make({.request_bytes_max = 2 * block});
    Reader& large = read(0, 8 * block);
    EXPECT_GE(remote_->count(), 4u);
    remote_->answer_all();
    EXPECT_TRUE(large.right());
    for (const auto& each : remote_->asked()) EXPECT_EQ(each.length, 2 * block);
}

TEST_F(FetcherTest, reads_a_remote_that_takes_less_than_a_block) {
    make({.request_bytes_min = 512, .request_bytes_max = 20000});
    Reader& reader = read(5000, 3 * block);
    remote_->answer_all();
    EXPECT_TRUE(reader.right());
    for (const auto& each : remote_->asked()) EXPECT_LE(each.length, 20000u);
}

TEST_F(FetcherTest, asks_for_whole_units_of_a_remote_with_large_ones) {
    make({.request_bytes_min = 8 * block});
    Reader& reader = read(11 * block + 5, 100);
    auto asked = remote_->asked();
    ASSERT_EQ(asked.size(), 1u);
    EXPECT_EQ(asked[0].offset, 8 * block);
    EXPECT_EQ(asked[0].length, 8 * block);
    remote_->answer_all();
    EXPECT_TRUE(reader.right());
    EXPECT_TRUE(read(15 * block, 100).right());
}

TEST_F(FetcherTest, has_no_more_requests_under_way_than_the_remote_takes) {
    make({.requests_max = 3});
    for (uint64_t i = 0; i < 20; ++i) read(i * 10 * block, 4096);
    EXPECT_EQ(remote_->count(), 3u);
    remote_->answer(1);
    EXPECT_EQ(remote_->count(), 4u);
    remote_->answer_all();
    for (auto& reader : readers_) EXPECT_TRUE(reader->right());
}

TEST_F(FetcherTest, has_no_more_bytes_under_way_ahead_than_the_window) {
    make({.requests_max = 1000});
    fetcher_->will_need(0, 32 * MiB);
    EXPECT_EQ(remote_->bytes_unanswered(), FlowWindow::bytes_min);
    remote_->answer_all();
    EXPECT_EQ(share_->in_flight_bytes, 0u);
}

TEST_F(FetcherTest, fills_the_window_with_whole_requests) {
    constexpr uint32_t request_bytes = 768 * KiB;
    make({.request_bytes_good = request_bytes});
    fetcher_->will_need(0, 32 * MiB);
    EXPECT_EQ(remote_->count(), 2u);
    EXPECT_EQ(remote_->bytes_unanswered(), 2 * request_bytes);
    remote_->answer_all();
}

TEST_F(FetcherTest, has_no_more_bytes_under_way_than_it_may_whoever_waits) {
    make({.size_bytes = GiB, .requests_max = 1000});
    for (uint64_t i = 0; i < 900; ++i) read(i * 5 * block, 4096);
    EXPECT_EQ(remote_->bytes_unanswered(), FetchQueue::demanded_bytes_max);
    remote_->answer_all();
    for (auto& reader : readers_) EXPECT_TRUE(reader->right());
    EXPECT_EQ(share_->in_flight_bytes, 0u);
}

TEST_F(FetcherTest, a_stream_is_read_ahead_of_its_reader_and_no_further_once_it_stops) {
    stream(0, 4 * MiB);
    uint64_t ahead = ahead_of(4 * MiB);
    EXPECT_GT(ahead, 128 * KiB);
    EXPECT_LE(ahead, FlowWindow::bytes_max);
    size_t before = remote_->count();
    EXPECT_TRUE(read(4 * MiB, block).right()) << "what was read ahead is at hand";
    remote_->answer_all();
    uint64_t then = ahead_of(4 * MiB);
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(read(4 * MiB, block).right());
    EXPECT_EQ(ahead_of(4 * MiB), then);
    EXPECT_LE(remote_->count(), before + 1);
}

TEST_F(FetcherTest, scattered_reads_are_not_read_ahead_of) {
    for (uint64_t i = 0; i < 40; ++i) read((i * 37 % 40) * 20 * block, 4096);
    remote_->answer_all();
    for (const auto& each : remote_->asked()) EXPECT_EQ(each.length, block);
    EXPECT_EQ(remote_->count(), 40u);
}

TEST_F(FetcherTest, several_streams_are_read_ahead_of_side_by_side) {
    make({.size_bytes = GiB});
    for (uint64_t i = 0; i < 32; ++i)
        for (uint64_t start : {uint64_t{0}, 300 * MiB, 700 * MiB}) {
            read(start + i * block, block);
            remote_->answer_all();
        }
    size_t before = remote_->count();
    for (uint64_t start : {uint64_t{0}, 300 * MiB, 700 * MiB}) EXPECT_TRUE(read(start + 32 * block, block).right());
    EXPECT_LE(remote_->count(), before + 3);
}

TEST_F(FetcherTest, what_somebody_waits_for_goes_before_what_is_read_ahead) {
    make({.requests_max = 4});
    fetcher_->will_need(0, 8 * MiB);
    EXPECT_EQ(remote_->count(), 3u) << "one request is kept free";
    read(50 * MiB, 4096);
    ASSERT_EQ(remote_->count(), 4u);
    EXPECT_EQ(remote_->asked()[3].offset, 50 * MiB);
    Reader& next = read(40 * MiB, 4096);
    remote_->answer(0);
    ASSERT_EQ(remote_->count(), 5u);
    EXPECT_EQ(remote_->asked()[4].offset, 40 * MiB);
    remote_->answer_all();
    EXPECT_TRUE(next.right());
}

TEST_F(FetcherTest, a_block_to_be_read_ahead_goes_first_once_somebody_waits_for_it) {
    make({.requests_max = 2});
    fetcher_->will_need(0, 8 * MiB);
    ASSERT_EQ(remote_->count(), 1u);
    read(6 * MiB, 4096);
    ASSERT_EQ(remote_->count(), 2u);
    EXPECT_LE(remote_->asked()[1].offset, 6 * MiB);
    EXPECT_GT(remote_->asked()[1].end(), 6 * MiB);
    remote_->answer_all();
}

TEST_F(FetcherTest, an_error_reaches_only_those_who_want_that_block) {
    Reader good(0, 4096), bad(block, 4096);
    fetcher_->begin({good.read(), bad.read()});
    ASSERT_EQ(remote_->count(), 1u) << "they are asked for together";
    remote_->answer_all(block + 100);
    EXPECT_TRUE(good.right());
    EXPECT_EQ(bad.error(), EIO);
}

TEST_F(FetcherTest, an_error_of_the_whole_disk_reaches_all_at_once) {
    Reader one(0, 4096), two(block, 4096);
    fetcher_->begin({one.read(), two.read()});
    remote_->fail(0, ESTALE);
    EXPECT_EQ(one.error(), ESTALE);
    EXPECT_EQ(two.error(), ESTALE);
    EXPECT_EQ(remote_->count(), 1u);
}

TEST_F(FetcherTest, a_failed_read_ahead_is_no_error_and_is_asked_anew) {
    fetcher_->will_need(0, block);
    remote_->fail(0, EIO);
    Reader& reader = read(0, 4096);
    EXPECT_TRUE(reader.waits());
    remote_->answer_all();
    EXPECT_TRUE(reader.right());
}

TEST_F(FetcherTest, who_waits_for_what_was_read_ahead_hears_of_its_failure) {
    fetcher_->will_need(0, block);
    Reader& reader = read(0, 4096);
    EXPECT_EQ(remote_->count(), 1u);
    remote_->fail(0, EIO);
    EXPECT_EQ(reader.error(), EIO);
}

TEST_F(FetcherTest, an_error_is_not_kept) {
    EXPECT_EQ((read(0, 4096), remote_->fail(0, EIO), readers_[0]->error()), EIO);
    Reader& again = read(0, 4096);
    remote_->answer_all();
    EXPECT_TRUE(again.right());
}

TEST_F(FetcherTest, an_answer_of_another_length_is_an_error) {
    Reader& reader = read(0, 4096);
    remote_->answer_short(0);
    EXPECT_EQ(reader.error(), EIO);
}

TEST_F(FetcherTest, a_block_that_hangs_holds_up_nobody_else) {
    Reader& hanging = read(0, 4096);
    for (uint64_t i = 1; i < 200; ++i) {
        Reader& other = read(i * 5 * block, 4096);
        for (size_t nth = 1; nth < remote_->count(); ++nth)
            if (!remote_->asked()[nth].answered) remote_->answer(nth);
        EXPECT_TRUE(other.right()) << i;
    }
    EXPECT_TRUE(hanging.waits());
    remote_->answer(0);
    EXPECT_TRUE(hanging.right());
}

TEST_F(FetcherTest, keeps_no_more_in_memory_than_it_may) {
    make({.size_bytes = GiB}, 8 * MiB);
    remote_->answer_at_once();
    for (uint64_t i = 0; i < 1000; ++i) read(i * 5 * block, 4096);
    size_t kept = 0;
    std::vector<std::byte> buffer(16);
    for (uint64_t i = 0; i < 1000; ++i) kept += fetcher_->read_at_hand(i * 5 * block, buffer) == FarReader::AtHand::yes;
    EXPECT_GT(kept, 0u);
    EXPECT_LE(kept, 8 * MiB / block);
}

TEST_F(FetcherTest, a_huge_announcement_queues_no_more_than_is_read_ahead) {
    make({.size_bytes = 64 * TiB, .requests_max = 2});
    fetcher_->will_need(0, 64 * TiB);
    uint64_t bytes = 0;
    for (size_t i = 0; i < remote_->count(); ++i) {
        bytes += remote_->asked()[i].length;
        remote_->answer(i);
    }
    EXPECT_LE(bytes, FetchQueue::ahead_bytes_max);
    EXPECT_GE(bytes, FetchQueue::ahead_bytes_max / 2);
}

TEST_F(FetcherTest, a_remote_that_answers_from_within_is_no_recursion) {
    make({.size_bytes = 4 * GiB, .request_bytes_max = 65536, .requests_max = 1});
    remote_->answer_at_once();
    Reader& large = read(0, 256 * MiB);
    EXPECT_TRUE(large.result.has_value() && large.ends == 1);
    EXPECT_GE(remote_->count(), 4096u);
    EXPECT_EQ(remote_->nested_max, 1u);
}

TEST_F(FetcherTest, nothing_is_read_ahead_for_a_file_that_was_closed_but_who_waits_is_answered) {
    make({.requests_max = 2});
    Reader& reader = read(0, 4096);
    Reader& queued = read(50 * MiB, 4096);
    Reader& third = read(60 * MiB, 4096);
    fetcher_->will_need(4 * MiB, 8 * MiB);
    fetcher_.reset();
    EXPECT_EQ(remote_->count(), 2u);
    remote_->answer_all();
    EXPECT_TRUE(reader.right() && queued.right() && third.right());
    EXPECT_EQ(remote_->count(), 3u);
}

TEST_F(FetcherTest, the_remote_goes_with_the_last_answer) {
    read(0, 4096);
    std::weak_ptr<FakeRemote> watched = remote_;
    auto asked = remote_->asked();
    fetcher_.reset();
    auto done = asked[0].done;
    asked.clear();
    remote_->answer_all();
    remote_.reset();
    EXPECT_FALSE(watched.expired()) << "done refers to it";
    done = nullptr;
    EXPECT_TRUE(watched.expired());
}

TEST_F(FetcherTest, under_no_wait_what_is_not_at_hand_is_eagain_and_begins_to_come) {
    auto file = open_far(remote_, test::engine().io(), share_);
    Bytes buffer(4096);
    {
        NoWait no_wait;
        auto result = file->read(4 * block, buffer);
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().code, EAGAIN);
    }
    ASSERT_EQ(remote_->count(), 1u);
    EXPECT_EQ(remote_->asked()[0].offset, 4 * block);
    remote_->answer_all();
    NoWait no_wait;
    EXPECT_TRUE(file->read(4 * block, buffer));
    EXPECT_EQ(buffer, test::bytes_at(4 * block, 4096));
}

TEST_F(FetcherTest, a_far_file_says_what_failed_with_its_name_and_as_eio) {
    auto file = open_far(remote_, test::engine().io(), share_);
    remote_->answer_at_once(4096);
    Bytes buffer(10);
    auto failed = file->read(4096, buffer);
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, EIO);
    EXPECT_EQ(failed.error().message, "fake://disk: read 10 bytes at offset 4096: bad sector");
    auto past = file->read(64 * MiB - 5, buffer);
    ASSERT_FALSE(past);
    EXPECT_EQ(past.error().message, "fake://disk: read 10 bytes at offset 67108859: past the end of the file");
    EXPECT_EQ(remote_->count(), 1u);
}

}  // namespace
}  // namespace hyper
