// SPDX-License-Identifier: Apache-2.0
// Writes through the seam, by each Io, and the faults that tests plant in it.
#include "blockengine/io.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>

#include "tests/support/faulty_io.h"
#include "tests/support/support.h"

namespace hyper {
namespace {

using test::FaultyIo;
using test::Operation;

std::vector<std::byte> some_bytes(size_t count) {
    std::vector<std::byte> bytes(count);
    (void)test::pattern(count, {{0, count}})->produce(0, bytes);
    return bytes;
}

class OpenFile {
  public:
    explicit OpenFile(const std::string& path) : path_(path), fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {}
    ~OpenFile() { ::close(fd_); }
    int fd() const { return fd_; }
    std::vector<std::byte> bytes() const { return test::read_file(path_); }

  private:
    std::string path_;
    int fd_;
};

std::unique_ptr<Io> make(std::string_view name) {
    int why;
    return name == "pread" ? make_pread_io() : make_uring_io(why);
}

class EveryIo : public testing::TestWithParam<std::string_view> {
  protected:
    void SetUp() override {
        io_ = make(GetParam());
        if (!io_) GTEST_SKIP() << GetParam() << " is not available";
    }
    test::ScratchDir scratch_;
    std::unique_ptr<Io> io_;
};

TEST_P(EveryIo, writes_all_operations_of_a_batch_where_they_belong) {
    OpenFile file(scratch_.path("file"));
    auto bytes = some_bytes(1000000);
    std::vector<WriteOp> ops;
    for (size_t at = 0; at < bytes.size(); at += 5000)
        ops.push_back({file.fd(), at, std::span(bytes).subspan(at, 5000), -1});
    std::reverse(ops.begin(), ops.end());
    io_->write(ops);
    for (const WriteOp& op : ops) EXPECT_EQ(op.error, 0);
    EXPECT_EQ(io_->sync(file.fd()), 0);
    EXPECT_EQ(file.bytes(), bytes);
}

TEST_P(EveryIo, tells_which_write_of_a_batch_failed) {
    OpenFile file(scratch_.path("file"));
    auto bytes = some_bytes(100);
    WriteOp ops[3] = {{file.fd(), 0, bytes, 0}, {-1, 0, bytes, 0}, {file.fd(), 100, bytes, 0}};
    io_->write(ops);
    EXPECT_EQ(ops[0].error, 0);
    EXPECT_EQ(ops[1].error, EBADF);
    EXPECT_EQ(ops[2].error, 0);
    EXPECT_EQ(file.bytes().size(), 200u);
}

// A write that the kernel cuts short is continued, and so meets the reason.
TEST_P(EveryIo, tells_why_a_write_does_not_fit) {
    OpenFile file(scratch_.path("file"));
    auto bytes = some_bytes(10000);
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit before;
    ::getrlimit(RLIMIT_FSIZE, &before);
    rlimit limit{15000, before.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    WriteOp ops[2] = {{file.fd(), 0, bytes, 0}, {file.fd(), 10000, bytes, 0}};
    io_->write(ops);
    ::setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_EQ(ops[0].error, 0);
    EXPECT_EQ(ops[1].error, EFBIG);
    EXPECT_EQ(file.bytes().size(), 15000u);
}

TEST_P(EveryIo, tells_that_a_sync_failed) { EXPECT_EQ(io_->sync(-1), EBADF); }

INSTANTIATE_TEST_SUITE_P(Io, EveryIo, testing::Values("pread", "io_uring"));

class FaultyIoTest : public testing::Test {
  protected:
    int write(uint64_t offset, size_t count) {
        WriteOp op{file_.fd(), offset, std::span(bytes_).first(count), 0};
        io_.write({&op, 1});
        return op.error;
    }
    test::ScratchDir scratch_;
    OpenFile file_{scratch_.path("file")};
    std::vector<std::byte> bytes_ = some_bytes(10000);
    FaultyIo io_;
};

TEST_F(FaultyIoTest, fails_the_operation_that_was_named_and_no_other) {
    io_.fail(Operation::write, 1, {.error = ENOSPC});
    io_.fail(Operation::sync, 0);
    EXPECT_EQ(write(0, 10), 0);
    EXPECT_TRUE(io_.pending());
    EXPECT_EQ(write(10, 10), ENOSPC);
    EXPECT_EQ(write(10, 10), 0);
    EXPECT_EQ(io_.sync(file_.fd()), EIO);
    EXPECT_EQ(io_.sync(file_.fd()), 0);
    EXPECT_FALSE(io_.pending());
    EXPECT_EQ(io_.count(Operation::write), 3u);
}

TEST_F(FaultyIoTest, tears_a_write_and_is_dead_after_a_crash) {
    io_.fail(Operation::write, 1, {.bytes_moved = 5, .crash = true});
    WriteOp ops[3] = {{file_.fd(), 0, std::span(bytes_).first(10), 0},
                      {file_.fd(), 10, std::span(bytes_).subspan(10, 10), 0},
                      {file_.fd(), 20, std::span(bytes_).subspan(20, 10), 0}};
    io_.write(ops);
    EXPECT_EQ(ops[0].error, 0);
    EXPECT_EQ(ops[1].error, EIO);
    EXPECT_EQ(ops[2].error, EIO);
    EXPECT_TRUE(io_.crashed());
    EXPECT_EQ(write(0, 1000), EIO);
    EXPECT_EQ(io_.sync(file_.fd()), EIO);
    std::byte byte;
    ReadOp read{file_.fd(), 0, {&byte, 1}, 0};
    io_.read({&read, 1});
    EXPECT_EQ(read.error, EIO);
    auto written = file_.bytes();
    ASSERT_EQ(written.size(), 15u);
    EXPECT_TRUE(std::equal(written.begin(), written.end(), bytes_.begin()));
}

TEST_F(FaultyIoTest, is_full_after_so_many_bytes_until_there_is_room) {
    io_.set_room(150);
    EXPECT_EQ(write(0, 100), 0);
    EXPECT_EQ(write(100, 100), ENOSPC);
    EXPECT_EQ(file_.bytes().size(), 150u);
    EXPECT_EQ(write(150, 1), ENOSPC);
    io_.set_room(FaultyIo::unlimited);
    EXPECT_EQ(write(100, 100), 0);
}

TEST_F(FaultyIoTest, fails_the_same_operations_for_the_same_seed) {
    auto failures = [&](uint64_t seed) {
        std::string text;
        io_.fail_randomly(Operation::write, 0.5, seed);
        for (int i = 0; i < 64; ++i) text += write(0, 10) != 0 ? 'x' : '.';
        return text;
    };
    EXPECT_EQ(failures(1), failures(1));
    EXPECT_NE(failures(1), failures(2));
}

}  // namespace
}  // namespace hyper
