// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/watch/trace.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "tests/support/support.h"

namespace hyper::watch {
namespace {

uint64_t now_ns() {
    return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch() /
                                 std::chrono::nanoseconds(1));
}

class TraceTest : public testing::Test {
  protected:
    std::unique_ptr<Trace> create() {
        auto trace = Trace::create(path);
        EXPECT_TRUE(trace) << trace.error().message;
        return trace ? std::move(*trace) : nullptr;
    }
    struct Read {
        std::vector<TraceReader::Entry> entries;
        uint64_t left_out = 0;
    };
    Result<Read> read() {
        TraceReader reader = TRY(TraceReader::open(path));
        Read all;
        while (auto entry = TRY(reader.next())) all.entries.push_back(std::move(*entry));
        all.left_out = reader.left_out();
        return all;
    }
    // Expects that a trace of these lines behind the first one is refused, with `message` in the
    // error.
    void expect_refused(const std::string& text, const std::string& message) {
        test::write_file(path, bytes_of_text(text));
        auto all = read();
        ASSERT_FALSE(all) << text;
        EXPECT_EQ(all.error().code, EINVAL);
        EXPECT_NE(all.error().message.find(message), std::string::npos) << all.error().message;
    }

    test::ScratchDir scratch;
    std::string path = scratch.path("trace");
};

TEST_F(TraceTest, what_is_recorded_is_read_back) {
    auto trace = create();
    TraceRing& ring = trace->add_ring();
    uint64_t start = now_ns();
    std::string name = "web 01/50%\n\xff";
    ring.record({start, 1500, 7, uint64_t{1} << 45, 4096, ENOSPC, 3, Command::write_zeroes},
                trace->export_id(name));
    ring.record({start + 10, 900, 8, 0, 0, 0, 0, Command::flush}, trace->export_id(""));
    trace.reset();
    auto all = read();
    ASSERT_TRUE(all) << all.error().message;
    ASSERT_EQ(all->entries.size(), 2u);
    const TracedRequest& first = all->entries[0].request;
    EXPECT_EQ(all->entries[0].export_name, name);
    EXPECT_LT(first.start_ns, 20'000'000'000u);
    EXPECT_EQ(first.latency_ns, 1500u);
    EXPECT_EQ(first.client_id, 7u);
    EXPECT_EQ(first.offset, uint64_t{1} << 45);
    EXPECT_EQ(first.length, 4096u);
    EXPECT_EQ(first.error, ENOSPC);
    EXPECT_EQ(first.flags, 3);
    EXPECT_EQ(first.command, Command::write_zeroes);
    EXPECT_EQ(all->entries[1].request.start_ns - first.start_ns, 10u);
    EXPECT_EQ(all->entries[1].export_name, "");
    EXPECT_EQ(all->left_out, 0u);
}

TEST_F(TraceTest, rings_of_several_loops_are_all_written) {
    constexpr int loops = 4, requests = 10'000;  // each less than a ring holds
    auto trace = create();
    std::vector<std::thread> threads;
    for (uint64_t loop = 0; loop < loops; ++loop)
        threads.emplace_back([&trace, loop] {
            TraceRing& ring = trace->add_ring();
            uint32_t id = trace->export_id("disk" + std::to_string(loop));
            for (uint64_t i = 0; i < requests; ++i)
                ring.record({now_ns(), 1, loop, i, 512, 0, 0, Command::read}, id);
        });
    for (std::thread& thread : threads) thread.join();
    trace.reset();
    auto all = read();
    ASSERT_TRUE(all) << all.error().message;
    EXPECT_EQ(all->entries.size(), size_t{loops} * requests);
    std::vector<uint64_t> next(loops);
    for (const auto& [request, name] : all->entries) {
        EXPECT_EQ(request.offset, next[request.client_id]++);
        EXPECT_EQ(name, "disk" + std::to_string(request.client_id));
    }
}

// The file is a pipe that nobody reads until the ring is full: the loop goes on, and every request
// is either there or counted.
TEST_F(TraceTest, a_file_that_stalls_does_not_stall_the_loop_and_what_is_left_out_is_counted) {
    constexpr size_t requests = 3 * Trace::ring_requests;
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    int pipe = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    ASSERT_GE(pipe, 0);
    auto trace = create();
    TraceRing& ring = trace->add_ring();
    uint32_t id = trace->export_id("disk");
    for (size_t i = 0; i < requests; ++i)
        ring.record({now_ns(), 1, 1, i, 512, 0, 0, Command::read}, id);
    std::string text;
    std::thread closer([&] {
        trace.reset();
        EXPECT_EQ(::write(pipe, "#end\n", 5), 5);
    });
    char buffer[65536];
    while (!text.ends_with("#end\n"))
        text.append(buffer, static_cast<size_t>(::read(pipe, buffer, sizeof buffer)));
    closer.join();
    ::close(pipe);
    ::unlink(path.c_str());
    test::write_file(path, bytes_of_text(text));
    auto all = read();
    ASSERT_TRUE(all) << all.error().message;
    EXPECT_GE(all->entries.size(), Trace::ring_requests);
    EXPECT_GT(all->left_out, 0u);
    EXPECT_EQ(all->entries.size() + all->left_out, requests);
}

TEST_F(TraceTest, a_full_disk_ends_the_trace_and_not_the_server) {
    if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "there is no /dev/full";
    path = "/dev/full";
    auto trace = create();
    TraceRing& ring = trace->add_ring();
    uint32_t id = trace->export_id("disk");
    for (size_t i = 0; i < 2 * Trace::ring_requests; ++i)
        ring.record({now_ns(), 1, 1, i, 512, 0, 0, Command::read}, id);
}

TEST_F(TraceTest, others_cannot_read_it) {
    create();
    struct stat status {};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(TraceTest, lines_left_out_add_up) {
    test::write_file(path,
                     bytes_of_text("hypernbd-trace 1\nleft-out 5\n# said twice\nleft-out 7\n"));
    EXPECT_EQ(read()->left_out, 12u);
}

TEST_F(TraceTest, what_is_no_trace_is_refused_with_the_line) {
    expect_refused("", "no trace");
    expect_refused("hypernbd-trace 2\n", "another version");
    expect_refused("hypernbd-trace 1\n1 2 read 0 0 512 0 100", "line 2: broken off");
    expect_refused("hypernbd-trace 1\n#\n1 2 read 0 0 512 0\n", "line 3: not a request");
    expect_refused("hypernbd-trace 1\n1 2 reads 0 0 512 0 100 disk\n", "not a request");
    expect_refused("hypernbd-trace 1\n-1 2 read 0 0 512 0 100 disk\n", "not a request");
    expect_refused("hypernbd-trace 1\n1 2 read 70000 0 512 0 100 disk\n", "not a request");
    expect_refused("hypernbd-trace 1\n1 2 read 0 0 512 0 100 disk%2\n", "not a request");
    expect_refused("hypernbd-trace 1\nleft-out many\n", "no number");
    expect_refused("hypernbd-trace 1\n1 2 read 0 0 512 0 100 " + std::string(20'000, 'x') + "\n",
                   "longer than");
}

}  // namespace
}  // namespace hyper::watch
