// SPDX-License-Identifier: Apache-2.0
#include "blockengine/ring.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tests/support/support.h"

namespace hyper {
namespace {

class Heard : public Completion {
  public:
    void completed(int result, uint32_t flags) override { all.push_back({result, flags}); }
    struct One {
        int result;
        uint32_t flags;
    };
    std::vector<One> all;
};

class RingTest : public testing::Test {
  protected:
    void SetUp() override {
        auto ring = Ring::make();
        ASSERT_TRUE(ring) << ring.error().message;
        ring_ = std::move(*ring);
        ring_->start();
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends_), 0);
    }
    void TearDown() override {
        ::close(ends_[0]);
        ::close(ends_[1]);
    }
    // Runs the ring until `heard` has heard so many completions.
    const Heard::One& wait(const Heard& heard, size_t count = 1) {
        while (heard.all.size() < count) {
            ring_->submit(true);
            ring_->dispatch();
        }
        EXPECT_EQ(heard.all.size(), count);
        return heard.all.back();
    }
    void send(std::string_view words) {
        ASSERT_EQ(::write(ends_[1], words.data(), words.size()),
                  static_cast<ssize_t>(words.size()));
    }

    std::unique_ptr<Ring> ring_;
    int ends_[2];
};

TEST_F(RingTest, reads_a_file_at_an_offset) {
    auto file = File::from_bytes(bytes_of_text("0123456789"), "digits", test::engine().io());
    ASSERT_TRUE(file);
    std::vector<std::byte> buffer(4);
    Heard heard;
    ring_->read(heard, (*file)->fd(), buffer, 3);
    EXPECT_TRUE(ring_->queued());
    EXPECT_EQ(wait(heard).result, 4);
    EXPECT_FALSE(ring_->queued());
    EXPECT_EQ(std::memcmp(buffer.data(), "3456", 4), 0);
}

TEST_F(RingTest, tells_a_failed_operation_by_its_errno) {
    std::byte buffer[1];
    Heard heard;
    ring_->read(heard, -1, buffer, 0);
    EXPECT_EQ(wait(heard).result, -EBADF);
}

TEST_F(RingTest, takes_more_operations_than_it_has_entries) {
    auto file = File::from_bytes(bytes_of_text("0123456789"), "digits", test::engine().io());
    ASSERT_TRUE(file);
    std::vector<std::byte> buffers(1000);
    Heard heard;
    for (size_t i = 0; i < buffers.size(); ++i)
        ring_->read(heard, (*file)->fd(), {&buffers[i], 1}, i % 10);
    wait(heard, buffers.size());
    for (size_t i = 0; i < buffers.size(); ++i)
        ASSERT_EQ(static_cast<char>(buffers[i]), '0' + static_cast<char>(i % 10));
}

TEST_F(RingTest, receives_into_a_shared_buffer) {
    Heard heard;
    ring_->receive(heard, ends_[0]);
    ring_->submit(false);
    send("hello");
    auto [result, flags] = wait(heard);
    ASSERT_EQ(result, 5);
    ASSERT_TRUE(Ring::has_buffer(flags));
    auto received = ring_->received(result, flags);
    EXPECT_EQ(std::memcmp(received.bytes.data(), "hello", 5), 0);
}

TEST_F(RingTest, receives_the_end_of_a_connection_as_nothing) {
    Heard heard;
    ring_->receive(heard, ends_[0]);
    ::shutdown(ends_[1], SHUT_WR);
    EXPECT_EQ(wait(heard).result, 0);
}

TEST_F(RingTest, receives_again_when_a_buffer_was_given_back) {
    Heard heard;
    for (unsigned i = 1; i <= Ring::receive_buffers; ++i) {
        send("x");
        ring_->receive(heard, ends_[0]);
        ASSERT_EQ(wait(heard, i).result, 1) << i;
    }
    send("y");
    ring_->receive(heard, ends_[0]);
    ASSERT_EQ(wait(heard, Ring::receive_buffers + 1).result, -ENOBUFS);
    EXPECT_FALSE(Ring::has_buffer(heard.all.back().flags));

    auto held = ring_->received(heard.all[7].result, heard.all[7].flags);
    ring_->give_back(held.buffer);
    ring_->receive(heard, ends_[0]);
    auto [result, flags] = wait(heard, Ring::receive_buffers + 2);
    ASSERT_EQ(result, 1);
    auto received = ring_->received(result, flags);
    EXPECT_EQ(received.buffer, held.buffer);
    EXPECT_EQ(static_cast<char>(received.bytes[0]), 'y');
}

TEST_F(RingTest, every_buffer_is_another) {
    Heard heard;
    std::vector<std::byte*> seen;
    for (unsigned i = 1; i <= Ring::receive_buffers; ++i) {
        send("x");
        ring_->receive(heard, ends_[0]);
        auto [result, flags] = wait(heard, i);
        seen.push_back(ring_->received(result, flags).bytes.data());
    }
    std::sort(seen.begin(), seen.end());
    for (size_t i = 1; i < seen.size(); ++i)
        EXPECT_GE(seen[i] - seen[i - 1], static_cast<ptrdiff_t>(Ring::receive_bytes_max));
}

TEST_F(RingTest, polls_until_something_can_be_read) {
    Heard heard;
    ring_->poll(heard, ends_[0], POLLIN);
    ring_->submit(false);
    ring_->dispatch();
    EXPECT_TRUE(heard.all.empty());
    send("x");
    EXPECT_NE(wait(heard).result & POLLIN, 0);
}

TEST_F(RingTest, accepts_many_connections_until_it_is_cancelled) {
    test::ScratchDir scratch;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, scratch.path("s").c_str(), sizeof address.sun_path - 1);
    int listening = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(::bind(listening, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(listening, 10), 0);
    Heard heard;
    ring_->accept_many(heard, listening);
    for (size_t i = 1; i <= 3; ++i) {
        int client = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT_EQ(::connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        auto [fd, flags] = wait(heard, i);
        ASSERT_GE(fd, 0);
        EXPECT_TRUE(Ring::more_to_come(flags));
        EXPECT_EQ(::fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        ::close(fd);
        ::close(client);
    }
    ring_->cancel(heard);
    auto [result, flags] = wait(heard, 4);
    EXPECT_EQ(result, -ECANCELED);
    EXPECT_FALSE(Ring::more_to_come(flags));
    ::close(listening);
}

TEST_F(RingTest, a_deadline_that_has_passed_ends_the_wait) {
    Heard heard;
    Ring::Deadline deadline{0, 1};
    ring_->wait_until(heard, deadline);
    EXPECT_EQ(wait(heard).result, -ETIME);
}

TEST_F(RingTest, cancels_all_operations_of_an_owner_and_no_other) {
    Heard one, other;
    ring_->receive(one, ends_[0]);
    ring_->poll(one, ends_[0], POLLIN);
    ring_->poll(other, ends_[0], POLLIN);
    ring_->submit(false);
    ring_->cancel(one);
    wait(one, 2);
    for (const Heard::One& heard : one.all) EXPECT_EQ(heard.result, -ECANCELED);
    EXPECT_TRUE(other.all.empty());
    send("x");
    EXPECT_GT(wait(other).result, 0);
}

}  // namespace
}  // namespace hyper
