// SPDX-License-Identifier: Apache-2.0
#include "blockengine/fetch/cache_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <set>

#include "blockengine/fetch/fetcher.h"
#include "tests/support/fake_remote.h"

namespace hyper {
namespace {

constexpr uint64_t size_bytes = 32 * MiB;
constexpr uint32_t block_bytes = CacheFile::block_bytes_max;

uint32_t the_time_s = 1000;
uint32_t test_clock() { return the_time_s; }

CacheFile::Key key(uint64_t number) { return xxh3_128(bytes_of(number)); }
Bytes content(uint64_t number, size_t length = block_bytes) { return test::bytes_at(number << 32, length); }

class CacheFileTest : public testing::Test {
  protected:
    void SetUp() override { open(); }
    void open() {
        cache_.reset();
        auto opened = CacheFile::open(path_, size_bytes, &test_clock);
        ASSERT_TRUE(opened) << opened.error().message;
        cache_ = *opened;
    }
    bool holds(uint64_t number) {
        Bytes buffer(block_bytes);
        if (cache_->read(key(number), 0, buffer) != CacheFile::Found::yes) return false;
        EXPECT_EQ(buffer, content(number)) << number;
        return true;
    }
    size_t held(uint64_t from, uint64_t to) {
        size_t count = 0;
        for (uint64_t number = from; number < to; ++number) count += holds(number);
        return count;
    }
    void put(uint64_t from, uint64_t to) {
        for (uint64_t number = from; number < to; ++number) cache_->put(key(number), content(number));
    }
    // Where in the file a block lies that holds these bytes.
    uint64_t find(uint64_t number) {
        auto all = test::read_file(path_);
        Bytes wanted = content(number);
        for (uint64_t at = 0; at + block_bytes <= all.size(); at += 4096)
            if (std::memcmp(all.data() + at, wanted.data(), block_bytes) == 0) return at;
        return 0;
    }
    void overwrite(uint64_t offset, std::string_view bytes) {
        std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(static_cast<std::streamoff>(offset));
        file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    }
    std::string refusal(uint64_t bytes = size_bytes) {
        cache_.reset();
        auto opened = CacheFile::open(path_, bytes, &test_clock);
        return opened ? "" : opened.error().message;
    }

    test::ScratchDir scratch_;
    std::string path_ = scratch_.path("cache");
    std::shared_ptr<CacheFile> cache_;
};

TEST_F(CacheFileTest, gives_back_what_was_put_whole_and_in_parts) {
    cache_->put(key(1), content(1));
    EXPECT_TRUE(holds(1));
    Bytes part(4096);
    EXPECT_EQ(cache_->read(key(1), 8192, part), CacheFile::Found::yes);
    EXPECT_TRUE(std::ranges::equal(part, std::span<const std::byte>(content(1)).subspan(8192, 4096)));
    EXPECT_FALSE(holds(2));
    EXPECT_TRUE(cache_->has(key(1)));
    EXPECT_FALSE(cache_->has(key(2)));
}

TEST_F(CacheFileTest, keeps_a_short_block_and_gives_nothing_past_its_end) {
    cache_->put(key(1), content(1, 1000));
    Bytes part(500);
    EXPECT_EQ(cache_->read(key(1), 500, part), CacheFile::Found::yes);
    EXPECT_EQ(cache_->read(key(1), 501, part), CacheFile::Found::no);
}

TEST_F(CacheFileTest, holds_what_was_put_after_it_is_opened_anew) {
    put(0, 100);
    open();
    EXPECT_EQ(held(0, 100), 100u);
}

TEST_F(CacheFileTest, never_grows) {
    put(0, 3 * cache_->slots());
    struct stat status {};
    ASSERT_EQ(::stat(path_.c_str(), &status), 0);
    EXPECT_EQ(static_cast<uint64_t>(status.st_size), size_bytes);
    EXPECT_LE(static_cast<uint64_t>(status.st_blocks) * 512, size_bytes);
    EXPECT_LE(held(0, 3 * cache_->slots()), cache_->slots());
    EXPECT_GT(held(2 * cache_->slots(), 3 * cache_->slots()), cache_->slots() / 2);
}

TEST_F(CacheFileTest, a_scan_leaves_what_was_used_twice) {
    uint64_t working = cache_->slots() / 4;
    put(0, working);
    the_time_s += CacheFile::uses_apart_s;
    EXPECT_EQ(held(0, working), working);
    for (uint64_t number = 10'000; number < 10'000 + 20 * cache_->slots(); ++number) {
        cache_->put(key(number), content(number));
        ASSERT_TRUE(cache_->has(key(number)));
    }
    EXPECT_GE(held(0, working), working * 95 / 100);
}

TEST_F(CacheFileTest, reading_a_block_in_many_small_parts_is_one_use) {
    uint64_t working = cache_->slots() / 4;
    put(0, working);
    for (int i = 0; i < 16; ++i) held(0, working);
    put(10'000, 10'000 + 20 * cache_->slots());
    EXPECT_LE(held(0, working), working / 10);
}

TEST_F(CacheFileTest, what_was_used_twice_long_ago_makes_room_for_what_is_used_now) {
    uint64_t slots = cache_->slots();
    for (uint64_t generation : {1, 2, 3}) {
        put(generation * 10'000, generation * 10'000 + slots / 2);
        the_time_s += CacheFile::uses_apart_s;
        held(generation * 10'000, generation * 10'000 + slots / 2);
    }
    EXPECT_GT(held(30'000, 30'000 + slots / 2), slots / 4);
}

TEST_F(CacheFileTest, a_byte_that_changed_on_the_disk_is_a_miss_and_the_block_can_be_put_again) {
    put(0, 3);
    uint64_t at = find(1);
    ASSERT_GT(at, 0u);
    open();
    overwrite(at + 777, "x");
    testing::internal::CaptureStderr();
    EXPECT_FALSE(holds(1));
    EXPECT_NE(testing::internal::GetCapturedStderr().find("damaged"), std::string::npos);
    EXPECT_TRUE(holds(0) && holds(2));
    EXPECT_FALSE(cache_->has(key(1)));
    cache_->put(key(1), content(1));
    EXPECT_TRUE(holds(1));
}

TEST_F(CacheFileTest, an_entry_that_changed_on_the_disk_is_a_miss) {
    put(0, cache_->slots() / 2);
    cache_.reset();
    auto all = test::read_file(path_);
    // Each entry's length, made shorter: what is left would match as a prefix.
    for (uint64_t at = 4096; at + 64 <= 4096 + (size_bytes / block_bytes) * 64; at += 64)
        if (load_le<uint64_t>(all.data() + at + 40) == block_bytes) store_le<uint64_t>(all.data() + at + 40, 4096);
    test::write_file(path_, all);
    open();
    Bytes part(100);
    size_t found = 0;
    for (uint64_t number = 0; number < cache_->slots() / 2; ++number) found += cache_->read(key(number), 0, part) == CacheFile::Found::yes;
    EXPECT_EQ(found, 0u);
}

TEST_F(CacheFileTest, under_no_wait_reads_only_what_is_in_memory) {
    put(0, 1);
    NoWait no_wait;
    Bytes buffer(4096);
    auto found = cache_->read(key(0), 0, buffer);
    EXPECT_NE(found, CacheFile::Found::no);
    EXPECT_EQ(cache_->read(key(7), 0, buffer), CacheFile::Found::no);
}

TEST_F(CacheFileTest, a_file_of_another_size_is_refused_with_what_to_do) {
    EXPECT_EQ(refusal(64 * MiB), fmt::format("cache {}: made for 33554432 bytes, version 1, and 67108864 bytes are wanted: remove it, or ask "
                                             "for that size",
                                             path_));
}

TEST_F(CacheFileTest, a_file_that_is_something_else_is_refused_and_left_as_it_is) {
    test::write_file(path_, test::bytes_at(0, 100'000));
    EXPECT_NE(refusal().find("this is no cache, or it is damaged"), std::string::npos);
    EXPECT_EQ(test::read_file(path_), test::bytes_at(0, 100'000));
}

TEST_F(CacheFileTest, a_file_that_was_cut_off_is_refused) {
    std::filesystem::resize_file(path_, size_bytes / 2);
    EXPECT_NE(refusal().find("bytes long instead of"), std::string::npos);
    std::filesystem::resize_file(path_, 10);
    EXPECT_NE(refusal(), "");
    std::filesystem::resize_file(path_, 0);
    EXPECT_NE(refusal(), "");
}

TEST_F(CacheFileTest, a_file_that_others_may_write_is_refused) {
    ASSERT_EQ(::chmod(path_.c_str(), 0620), 0);
    EXPECT_NE(refusal().find("written by nobody else"), std::string::npos);
}

TEST_F(CacheFileTest, links_pipes_and_sizes_without_sense_are_refused) {
    std::filesystem::rename(path_, path_ + "-moved");
    std::filesystem::create_symlink(path_ + "-moved", path_);
    EXPECT_NE(refusal(), "");
    std::filesystem::remove(path_);
    ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
    EXPECT_NE(refusal(), "");
    EXPECT_NE(refusal(1000).find("too few"), std::string::npos);
}

TEST_F(CacheFileTest, a_full_disk_is_told_once_and_ends_the_keeping_but_not_the_reading) {
    put(0, 50);
    // No file may become longer than what this process finds written: as a full disk, for blocks beyond it.
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    rlimit small{1 * MiB, before.rlim_max};
    auto old = std::signal(SIGXFSZ, SIG_IGN);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    testing::internal::CaptureStderr();
    put(100, 400);
    std::string told = testing::internal::GetCapturedStderr();
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    std::signal(SIGXFSZ, old);
    size_t first = told.find("nothing more is kept");
    EXPECT_NE(first, std::string::npos);
    EXPECT_EQ(told.find("nothing more is kept", first + 1), std::string::npos);
    EXPECT_EQ(held(0, 50), 50u);
}

TEST_F(CacheFileTest, a_wish_is_a_path_and_a_size) {
    auto wish = parse_cache_wish("/var/cache/hyper:blocks:10G");
    ASSERT_TRUE(wish);
    EXPECT_EQ(wish->path, "/var/cache/hyper:blocks");
    EXPECT_EQ(wish->size_bytes, 10 * GiB);
    EXPECT_EQ(parse_cache_wish("cache:12345")->size_bytes, 12345u);
    for (const char* wrong : {"", "cache", "cache:", ":10G", "cache:10X", "cache:10GB", "cache:-1", "cache:99999999T", "cache:G"})
        EXPECT_FALSE(parse_cache_wish(wrong)) << wrong;
}

class CachedFarFile : public CacheFileTest {
  protected:
    // A process that opens the disk: another share, another memory.
    std::shared_ptr<test::FakeRemote> read_all(const std::string& identity) {
        auto remote = std::make_shared<test::FakeRemote>(test::FakeRemote::Limits{.size_bytes = 3 * MiB + 5}, identity);
        remote->answer_at_once();
        share_ = std::make_shared<FetchShare>(cache_);
        auto file = open_far(remote, test::engine().io(), share_);
        Bytes buffer(3 * MiB + 5);
        EXPECT_TRUE(file->read(0, buffer));
        EXPECT_EQ(buffer, test::bytes_at(0, buffer.size()));
        share_->writer->drain();
        return remote;
    }
    std::shared_ptr<FetchShare> share_;
};

TEST_F(CachedFarFile, is_not_fetched_a_second_time) {
    EXPECT_GT(read_all("disk 1")->count(), 0u);
    open();
    EXPECT_EQ(read_all("disk 1")->count(), 0u);
}

TEST_F(CachedFarFile, is_not_given_for_a_disk_of_another_identity) {
    read_all("disk 1");
    EXPECT_GT(read_all("disk 2")->count(), 0u);
}

TEST_F(CachedFarFile, without_an_identity_is_not_kept_on_the_disk) {
    read_all("");
    EXPECT_GT(read_all("")->count(), 0u);
}

TEST_F(CachedFarFile, that_is_not_in_memory_is_told_to_be_on_the_disk_and_read_from_there) {
    auto remote = read_all("disk 1");
    int fd = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
    ASSERT_EQ(::fsync(fd), 0);
    ASSERT_EQ(::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    ::close(fd);
    Fetcher fetcher(remote, std::make_shared<FetchShare>(cache_));
    Bytes buffer(4096);
    EXPECT_EQ(fetcher.read_at_hand(MiB, buffer), FarReader::AtHand::on_disk);
    size_t before = remote->count();
    bool read = false;
    fetcher.begin({{MiB, buffer, [&](Result<void> result) { read = result.has_value(); }}});
    EXPECT_TRUE(read);
    EXPECT_EQ(buffer, test::bytes_at(MiB, 4096));
    EXPECT_EQ(remote->count(), before);
}

TEST_F(CachedFarFile, is_fetched_again_where_the_cache_is_damaged) {
    read_all("disk 1");
    auto all = test::read_file(path_);
    for (uint64_t at = size_bytes / 100; at < all.size(); at += 1000) all[at] ^= std::byte{1};
    cache_.reset();
    test::write_file(path_, all);
    open();
    EXPECT_GT(read_all("disk 1")->count(), 0u);
    open();
    EXPECT_EQ(read_all("disk 1")->count(), 0u);
}

}  // namespace
}  // namespace hyper
