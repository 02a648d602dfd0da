// SPDX-License-Identifier: Apache-2.0
// Parts of reads that go through a pipe.
#include "nbdserver/spliced.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/support/support.h"

namespace hyper::nbd {
namespace {

class SplicedTest : public testing::Test {
  protected:
    void SetUp() override {
        std::ofstream(scratch_.path("file")) << text_;
        std::filesystem::resize_file(scratch_.path("file"), 2 * text_.size());  // whose second half nobody has read
        auto opened = File::open(scratch_.path("file"), test::engine().io());
        ASSERT_TRUE(opened) << opened.error().message;
        file_ = *opened;
        uint64_t range[2] = {0, 1}, found[5];
        kernel_tells_ = ::syscall(451, file_->fd(), range, found, 0) == 0;  // cachestat(2)
    }

    std::string drain(Pipe& pipe) {
        std::string text;
        char buffer[65536];
        for (ssize_t got; (got = ::read(pipe.read_end(), buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(got));
        return text;
    }
    void add_file(uint64_t offset, uint64_t length) {
        list_.file(file_, offset, length);
        expected_ += text_.substr(offset, length);
    }
    void add_computed(uint64_t offset, uint64_t length) {
        Bytes bytes(length);
        ASSERT_TRUE(pattern_->produce(offset, bytes));
        list_.computed(pattern_, offset, length);
        expected_.append(reinterpret_cast<char*>(bytes.data()), length);
    }
    void add_zeros(uint64_t length) {
        list_.zeros(length);
        expected_.append(length, '\0');
    }
    // Where the kernel does not tell what is cached nothing is ever spliced.
    void expect_spliced() {
        Pipe pipe = made();
        ASSERT_EQ(static_cast<bool>(pipe), kernel_tells_);
        if (pipe) {
            EXPECT_EQ(drain(pipe), expected_);
        }
    }
    Pipe made() { return spliced(pipes_, list_.pieces(), static_cast<uint32_t>(list_.length())); }

    test::ScratchDir scratch_;
    std::string text_ = [] {
        std::string text(1 << 20, '\0');
        for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7919 >> 5);
        return text;
    }();
    std::shared_ptr<const test::PatternSource> pattern_ = test::pattern(1 << 20, {{0, 1 << 20}});
    std::shared_ptr<const File> file_;
    PipePool pipes_;
    bool kernel_tells_ = false;
    PieceList list_;
    std::string expected_;
};

TEST_F(SplicedTest, holds_a_range_of_a_file_that_begins_within_a_page) {
    add_file(3584, 256 << 10);
    expect_spliced();
}

TEST_F(SplicedTest, holds_what_is_computed_between_ranges_in_order) {
    add_computed(100, 19);
    add_file(70001, 65535);
    add_computed(7000, 5);
    add_file(10, 1);
    add_zeros(12000);
    add_file(300000, 70000);
    expect_spliced();
}

TEST_F(SplicedTest, is_empty_where_nothing_is_saved) {
    add_file(0, 16 << 10);
    EXPECT_FALSE(made()) << "little";
    for (uint64_t at = 0; at < 64; ++at) add_file((at * 2 + 1) * 4096, 4096);
    EXPECT_FALSE(made()) << "in many pieces";
}

TEST_F(SplicedTest, is_empty_where_a_piece_is_large_and_no_file_s) {
    add_file(0, 128 << 10);
    add_computed(0, 64 << 10);
    EXPECT_FALSE(made());
}

TEST_F(SplicedTest, is_empty_where_the_file_is_not_cached) {
    list_.file(file_, text_.size(), 64 << 10);
    EXPECT_FALSE(made());
}

TEST_F(SplicedTest, is_empty_where_a_computation_fails_and_the_pipes_do_not_run_out) {
    struct Failing : Producer {
        Result<void> produce(uint64_t, std::span<std::byte>) const override { return fail(EIO, "planted"); }
    };
    list_.file(file_, 0, 64 << 10);
    list_.computed(std::make_shared<Failing>(), 0, 16);
    for (size_t turn = 0; turn < 2 * PipePool::pipes_max; ++turn) EXPECT_FALSE(made());
    list_.clear();
    expected_.clear();
    add_file(0, 64 << 10);
    expect_spliced();
}

}  // namespace
}  // namespace hyper::nbd
