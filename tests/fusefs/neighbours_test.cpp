// SPDX-License-Identifier: Apache-2.0
#include "fusefs/neighbours.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <future>
#include <thread>
#include <utility>

#include "tests/support/support.h"

namespace hyper {
namespace {

constexpr uint64_t window = Neighbours::window_bytes;

std::shared_ptr<const OpenFile> opened(std::shared_ptr<const Source> source) {
    uint64_t size_bytes = source->size_bytes();
    return std::make_shared<OpenFile>(std::move(source), nullptr, 1, size_bytes);
}
std::shared_ptr<const OpenFile> full_disk(uint64_t size_bytes) {
    return opened(test::pattern(size_bytes, {{0, size_bytes}}));
}

struct Stored {
    uint64_t inode, offset;
    std::vector<std::byte> bytes;
};

// A kernel that has room for one window; a test that gets a second one fails.
class Kernel {
  public:
    Neighbours::Store store() {
        return [this](uint64_t inode, uint64_t offset, std::span<const std::byte> bytes) {
            stored_.set_value({inode, offset, {bytes.begin(), bytes.end()}});
        };
    }
    Stored stored() { return stored_.get_future().get(); }

  private:
    std::promise<Stored> stored_;
};

TEST(Neighbours, are_the_window_around_a_read) {
    auto disk = full_disk(4 * window);
    auto all = test::read_all(*disk->source);
    Kernel kernel;
    Neighbours neighbours(test::engine(), kernel.store());
    neighbours.want(7, disk, 2 * window + 5000);
    Stored stored = kernel.stored();
    EXPECT_EQ(stored.inode, 7u);
    EXPECT_EQ(stored.offset, 2 * window);
    ASSERT_EQ(stored.bytes.size(), window);
    EXPECT_TRUE(std::equal(stored.bytes.begin(), stored.bytes.end(), all.begin() + 2 * window));
}

TEST(Neighbours, end_where_the_file_does) {
    Kernel kernel;
    Neighbours neighbours(test::engine(), kernel.store());
    neighbours.want(1, full_disk(window + 512), window);
    Stored stored = kernel.stored();
    EXPECT_EQ(stored.offset, window);
    EXPECT_EQ(stored.bytes.size(), 512u);
}

// Lies on a disk, and tells how a read ends that would have to wait: no file of /proc is ever read
// without waiting.
class ColdSource : public Source {
  public:
    uint64_t size_bytes() const override { return window; }
    Result<void> map(uint64_t, uint64_t, PieceList&) const override {
        int fd = ::open("/proc/version", O_RDONLY | O_CLOEXEC);
        std::byte byte;
        ReadOp op{fd, 0, {&byte, 1}, 0};
        test::engine().io().read({&op, 1});
        ::close(fd);
        ended.set_value(op.error);
        return fail(EAGAIN, "not in memory");
    }
    mutable std::promise<int> ended;
};

TEST(Neighbours, are_not_fetched_from_a_disk) {
    bool stored = false;
    auto cold = std::make_shared<ColdSource>();
    Neighbours neighbours(test::engine(), [&](auto&&...) { stored = true; });
    neighbours.want(1, opened(cold), 0);
    EXPECT_EQ(cold->ended.get_future().get(), EAGAIN);
    neighbours.stop([] {});
    EXPECT_FALSE(stored);
}

TEST(Neighbours, give_up_a_window_while_another_is_under_way) {
    auto disk = full_disk(4 * window);
    std::promise<void> under_way, go_on;
    std::promise<uint64_t> next;
    int stored = 0;
    Neighbours neighbours(test::engine(), [&](uint64_t, uint64_t offset, auto&&) {
        if (++stored == 1) {
            under_way.set_value();
            go_on.get_future().wait();
        } else if (stored == 2) {
            next.set_value(offset);
        }
    });
    neighbours.want(1, disk, 0);
    under_way.get_future().wait();
    neighbours.want(1, disk, window);
    go_on.set_value();
    // It takes the next one when it is ready for it.
    auto second = next.get_future();
    while (second.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
        neighbours.want(1, disk, 2 * window);
        std::this_thread::yield();
    }
    EXPECT_EQ(second.get(), 2 * window);
}

TEST(Neighbours, give_up_a_file_that_had_its_share_of_memory) {
    auto greedy = full_disk(window), other = full_disk(window);
    greedy->stored_bytes = uint64_t{1} << 60;
    Kernel kernel;
    Neighbours neighbours(test::engine(), kernel.store());
    neighbours.want(1, greedy, 0);
    neighbours.want(2, other, 0);
    EXPECT_EQ(kernel.stored().inode, 2u);
}

TEST(Neighbours, stop_while_a_store_waits_for_a_request_to_be_answered) {
    std::promise<void> under_way, answered;
    Neighbours neighbours(test::engine(), [&](auto&&...) {
        under_way.set_value();
        answered.get_future().wait();
    });
    neighbours.want(1, full_disk(window), 0);
    under_way.get_future().wait();
    bool once = false;
    neighbours.stop([&] {
        if (!std::exchange(once, true)) answered.set_value();
    });
    EXPECT_TRUE(once);
}

}  // namespace
}  // namespace hyper
