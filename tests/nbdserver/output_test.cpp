// SPDX-License-Identifier: Apache-2.0
// What leaves on a connection, and the memory that it leaves from.
#include "nbdserver/output.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cerrno>

#include "tests/support/support.h"

namespace hyper::nbd {
namespace {

// Both ends of a connection whose buffers are small, so that nearly every send is partial.
class OutputTest : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends_), 0);
        int small = 4096;
        ASSERT_EQ(::setsockopt(ends_[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    }
    void TearDown() override {
        ::close(ends_[0]);
        hang_up();
    }
    void hang_up() {
        if (ends_[1] >= 0) ::close(std::exchange(ends_[1], -1));
    }

    // Adds an item with a head, and what the client is to receive of it to expected_.
    void add(uint32_t body_bytes, bool by_pipe = false) {
        OutItem item{.head = status_head(Mode::simple, {0, 0, ++items_added_, 0, 0, 0}, 0),
                     .body_bytes = body_bytes};
        item.charge = static_cast<uint32_t>(1 + items_added_);
        charged_ += item.charge;
        Bytes body(body_bytes);
        (void)test::pattern(1 << 20, {{0, 1 << 20}})->produce(items_added_ * 1000, body);
        if (by_pipe) {
            item.pipe = pipes_.take();
            ASSERT_TRUE(item.pipe);
            ASSERT_EQ(::write(item.pipe.write_end(), body.data(), body.size()),
                      static_cast<ssize_t>(body.size()));
        } else if (body_bytes > 0) {
            item.body = buffers_.take(body_bytes);
            std::memcpy(item.body.data(), body.data(), body.size());
        }
        expected_.insert(expected_.end(), item.head.bytes().begin(), item.head.bytes().end());
        expected_.insert(expected_.end(), body.begin(), body.end());
        output_.add(std::move(item));
    }
    void add_raw(size_t count) {
        Bytes raw(count, std::byte{0x77});
        output_.add_raw(raw);
        expected_.insert(expected_.end(), raw.begin(), raw.end());
    }
    // Takes what the socket has.
    void receive() {
        std::byte buffer[3000];
        ssize_t got;
        while ((got = ::recv(ends_[1], buffer, sizeof buffer, 0)) > 0)
            received_.insert(received_.end(), buffer, buffer + got);
    }
    // Sends all; how often the socket was full.
    size_t send_all() {
        size_t blocked = 0;
        Output::Sent sent;
        while ((sent = output_.flush(ends_[0])) == Output::Sent::blocked) {
            ++blocked;
            released_ += output_.take_released();
            receive();
        }
        EXPECT_EQ(sent, Output::Sent::all);
        released_ += output_.take_released();
        receive();
        return blocked;
    }

    int ends_[2] = {-1, -1};
    BufferPool buffers_;
    PipePool pipes_;
    Output output_{pipes_};
    Bytes expected_, received_;
    uint64_t items_added_ = 0, charged_ = 0, released_ = 0;
};

TEST_F(OutputTest, leaves_in_order_though_the_socket_takes_little_at_a_time) {
    add_raw(10000);
    for (uint32_t bytes : {0, 1, 100000, 0, 4096, 65536}) add(bytes);
    EXPECT_GT(send_all(), 10u);
    EXPECT_EQ(received_, expected_);
    EXPECT_TRUE(output_.empty());
}

TEST_F(OutputTest, sends_many_small_items) {
    for (int i = 0; i < 2000; ++i) add(i % 3);
    send_all();
    EXPECT_EQ(received_, expected_);
}

TEST_F(OutputTest, sends_what_is_in_pipes_between_what_is_in_buffers) {
    for (bool by_pipe : {false, true, true, false, true}) add(50000, by_pipe);
    EXPECT_GT(send_all(), 10u);
    EXPECT_EQ(received_, expected_);
}

TEST_F(OutputTest, releases_each_charge_once) {
    for (int i = 0; i < 20; ++i) add(10000, i % 4 == 3);
    send_all();
    EXPECT_EQ(released_, charged_);
    EXPECT_EQ(output_.take_released(), 0u);
}

TEST_F(OutputTest, releases_no_charge_of_what_has_not_left_as_a_whole) {
    add(1000000);
    ASSERT_EQ(output_.flush(ends_[0]), Output::Sent::blocked);
    EXPECT_EQ(output_.take_released(), 0u);
}

TEST_F(OutputTest, gives_buffers_back_when_they_have_left) {
    add(10000);
    EXPECT_EQ(buffers_.used_bytes(), 16384u);
    send_all();
    EXPECT_EQ(buffers_.used_bytes(), 0u);
}

TEST_F(OutputTest, gives_a_pipe_back_when_it_is_drained) {
    add(50000, true);
    send_all();
    Pipe pipe = pipes_.take();
    std::byte byte;
    EXPECT_EQ(::read(pipe.read_end(), &byte, 1), -1);
    EXPECT_EQ(errno, EAGAIN);
}

TEST_F(OutputTest, a_pipe_that_is_not_drained_is_not_used_again_but_may_be_replaced) {
    for (size_t i = 0; i <= PipePool::pipes_max; ++i) {
        Output dying(pipes_);
        OutItem item{
            .head = status_head(Mode::simple, {}, 0), .pipe = pipes_.take(), .body_bytes = 3};
        ASSERT_TRUE(item.pipe) << i;
        std::byte byte;
        ASSERT_EQ(::read(item.pipe.read_end(), &byte, 1), -1) << i;
        ASSERT_EQ(::write(item.pipe.write_end(), "abc", 3), 3);
        dying.add(std::move(item));
    }
}

TEST_F(OutputTest, is_broken_when_the_client_has_left) {
    for (bool by_pipe : {false, true}) {
        add(1000, by_pipe);
        hang_up();
        EXPECT_EQ(output_.flush(ends_[0]), Output::Sent::broken);
    }
}

TEST_F(OutputTest, shows_a_sealer_the_same_bytes_in_pieces_of_its_size) {
    add_raw(100);
    for (uint32_t bytes : {0, 1, 5000, 0, 777}) add(bytes);
    std::vector<std::span<const std::byte>> spans;
    for (size_t size = 1; !output_.empty(); size = size % 500 + 1) {
        size_t total = output_.front(spans, 6, size);
        ASSERT_GT(total, 0u);
        ASSERT_LE(total, size);
        ASSERT_LE(spans.size(), 6u);
        size_t taken = total - total / 3;  // it may take less than it was shown
        for (auto span : spans) {
            auto part = span.first(std::min(span.size(), taken));
            received_.insert(received_.end(), part.begin(), part.end());
            taken -= part.size();
        }
        output_.consume(total - total / 3);
    }
    EXPECT_EQ(received_, expected_);
    EXPECT_EQ(output_.take_released(), charged_);
}

TEST(BufferPool, uses_the_memory_that_came_back_last) {
    BufferPool pool;
    std::byte *first, *second;
    {
        Buffer a = pool.take(5000), b = pool.take(8192);
        first = a.data();
        second = b.data();
    }  // b goes first, then a
    Buffer again = pool.take(6000), then = pool.take(6000);
    EXPECT_EQ(again.data(), first);
    EXPECT_EQ(then.data(), second);
}

TEST(BufferPool, rounds_up_to_powers_of_two_of_pages) {
    BufferPool pool;
    for (auto [wanted, got] :
         {std::pair<size_t, size_t>{1, 4096}, {4096, 4096}, {4097, 8192}, {1 << 20, 1 << 20}}) {
        Buffer buffer = pool.take(wanted);
        EXPECT_EQ(pool.used_bytes(), got);
        EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 4096, 0u);
    }
    EXPECT_EQ(pool.used_bytes(), 0u);
}

TEST(BufferPool, a_buffer_that_is_moved_goes_back_once) {
    BufferPool pool;
    Buffer a = pool.take(4096);
    Buffer b = std::move(a);
    EXPECT_FALSE(a);
    a = std::move(b);
    EXPECT_EQ(pool.used_bytes(), 4096u);
    a = Buffer();
    EXPECT_EQ(pool.used_bytes(), 0u);
}

TEST(PipePool, makes_only_so_many) {
    PipePool pool;
    std::vector<Pipe> taken;
    for (size_t i = 0; i < PipePool::pipes_max; ++i) {
        taken.push_back(pool.take());
        ASSERT_TRUE(taken.back()) << i;
    }
    EXPECT_FALSE(pool.take());
    pool.put(std::move(taken.back()));
    EXPECT_TRUE(pool.take());
}

}  // namespace
}  // namespace hyper::nbd
