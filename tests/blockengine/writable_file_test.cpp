// SPDX-License-Identifier: Apache-2.0
#include "blockengine/writable_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "tests/support/support.h"

namespace hyper {
namespace {

constexpr size_t file_bytes = 4 << 20;

class WritableFileTest : public testing::Test {
  protected:
    void SetUp() override {
        test::write_file(path_, std::vector<std::byte>(file_bytes, std::byte{0x5a}));
        file_ = must_open(path_);
        ASSERT_TRUE(file_);
    }
    static std::shared_ptr<WritableFile> must_open(const std::string& path) {
        auto file = WritableFile::open(path, test::engine().io());
        EXPECT_TRUE(file) << file.error().message;
        return file ? *file : nullptr;
    }
    static int open_error(const std::string& path) {
        auto file = WritableFile::open(path, test::engine().io());
        return file ? 0 : file.error().code;
    }
    // Expects zeros in [offset, offset + length), and elsewhere what was there.
    static void expect_zeros_only_in(WritableFile& file, size_t offset, size_t length) {
        auto bytes = test::read_all(FileSource(file.file()));
        for (size_t i = 0; i < bytes.size(); ++i)
            ASSERT_EQ(bytes[i], i >= offset && i < offset + length ? std::byte{0} : std::byte{0x5a})
                << i;
    }
    static uint64_t allocated_bytes(WritableFile& file) {
        EXPECT_TRUE(file.flush());
        struct stat status {};
        ::fstat(file.fd(), &status);
        return static_cast<uint64_t>(status.st_blocks) * 512;
    }

    test::ScratchDir scratch_;
    std::string path_ = scratch_.path("disk");
    std::shared_ptr<WritableFile> file_;
};

// A file in memory, whose file system can punch holes but not zero a range in place.
class MemoryFile {
  public:
    MemoryFile() : fd_(::memfd_create("test", MFD_CLOEXEC)) {
        std::vector<std::byte> bytes(file_bytes, std::byte{0x5a});
        EXPECT_EQ(::write(fd_, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    }
    ~MemoryFile() { ::close(fd_); }
    std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

  private:
    int fd_;
};

TEST_F(WritableFileTest, a_zeroed_range_reads_as_zeros_whatever_its_ends) {
    ASSERT_TRUE(file_->zero(4097, 1000001, false, false));
    expect_zeros_only_in(*file_, 4097, 1000001);
}

TEST_F(WritableFileTest, zeroing_makes_a_hole) {
    uint64_t before = allocated_bytes(*file_);
    ASSERT_TRUE(file_->zero(0, 1 << 20, false, false));
    EXPECT_LE(allocated_bytes(*file_), before - (1 << 20));
}

TEST_F(WritableFileTest, zeroing_makes_no_hole_where_it_is_not_wanted) {
    uint64_t before = allocated_bytes(*file_);
    ASSERT_TRUE(file_->zero(0, 1 << 20, true, false));
    EXPECT_GE(allocated_bytes(*file_), before);
    expect_zeros_only_in(*file_, 0, 1 << 20);
}

TEST_F(WritableFileTest, fast_zeroing_is_refused_where_it_means_writing) {
    MemoryFile memory;
    auto file = must_open(memory.path());
    ASSERT_TRUE(file);
    auto result = file->zero(0, 4096, true, true);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ENOTSUP);
    expect_zeros_only_in(*file, 0, 0);
}

TEST_F(WritableFileTest, zeros_are_written_where_the_file_system_cannot_zero) {
    MemoryFile memory;
    auto file = must_open(memory.path());
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->zero(511, (2 << 20) + 3, true, false));
    expect_zeros_only_in(*file, 511, (2 << 20) + 3);
}

TEST_F(WritableFileTest, trimming_frees_the_range_and_nothing_else) {
    uint64_t before = allocated_bytes(*file_);
    ASSERT_TRUE(file_->trim(1 << 20, 1 << 20));
    EXPECT_LE(allocated_bytes(*file_), before - (1 << 20));
    expect_zeros_only_in(*file_, 1 << 20, 1 << 20);
}

TEST_F(WritableFileTest, its_size_stays) {
    ASSERT_TRUE(file_->zero(file_bytes - 4096, 4096, false, false));
    ASSERT_TRUE(file_->zero(file_bytes - 4096, 4096, true, false));
    ASSERT_TRUE(file_->trim(file_bytes - 4096, 4096));
    EXPECT_EQ(std::filesystem::file_size(path_), file_bytes);
    std::filesystem::resize_file(path_, 2 * file_bytes);
    EXPECT_EQ(file_->file()->size_bytes(), file_bytes);
}

TEST_F(WritableFileTest, is_locked_while_it_is_held) {
    EXPECT_EQ(open_error(path_), EBUSY);
    file_ = nullptr;
    EXPECT_EQ(open_error(path_), 0);
}

TEST_F(WritableFileTest, is_a_file_and_not_just_any_name) {
    ASSERT_EQ(::mkfifo(scratch_.path("fifo").c_str(), 0600), 0);
    EXPECT_EQ(open_error(scratch_.path("fifo")), EINVAL);
    EXPECT_EQ(open_error("/dev/null"), EINVAL);
    EXPECT_EQ(open_error(scratch_.dir().string()), EISDIR);
    EXPECT_EQ(open_error(scratch_.path("nosuch")), ENOENT);
}

}  // namespace
}  // namespace hyper
