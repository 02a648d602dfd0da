// SPDX-License-Identifier: Apache-2.0
// Several processes and one cache file.
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <random>

#include "blockengine/fetch/cache_file.h"
#include "tests/support/fake_remote.h"

namespace hyper {
namespace {

// So small that everybody writes over what the others have, all the time.
constexpr uint64_t size_bytes = CacheFile::size_bytes_min;
constexpr uint64_t keys = 600;
constexpr int wrong_byte = 3, nothing_found = 4;

CacheFile::Key key(uint64_t number) { return xxh3_128(bytes_of(number)); }

// Puts and reads at random; ends with 0 if all that was found was right, and something was.
[[noreturn]] void hammer(const std::string& path, uint64_t seed, int rounds) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    auto cache = CacheFile::open(path, size_bytes);
    if (!cache) ::_exit(2);
    std::mt19937_64 random(seed);
    Bytes block(CacheFile::block_bytes_max), part(4096);
    uint64_t found = 0;
    for (int i = 0; i != rounds; ++i) {
        uint64_t number = random() % keys;
        // A block's bytes tell whose they are, and where in it they stand.
        for (size_t at = 0; at < block.size(); at += 8) store_le<uint64_t>(block.data() + at, number << 32 | at);
        if (random() % 3 == 0) (*cache)->put(key(number), block);
        auto offset = static_cast<uint32_t>(random() % (block.size() - part.size()) / 8 * 8);
        for (int reads = 0; reads < 4; ++reads) {
            if ((*cache)->read(key(number), offset, part) != CacheFile::Found::yes) continue;
            ++found;
            if (std::memcmp(part.data(), block.data() + offset, part.size()) != 0) ::_exit(wrong_byte);
        }
    }
    ::_exit(found > 0 ? 0 : nothing_found);
}

pid_t start(const std::string& path, uint64_t seed, int rounds) {
    pid_t child = ::fork();
    if (child == 0) hammer(path, seed, rounds);
    return child;
}

int status_of(pid_t child) {
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

class CacheProcesses : public testing::Test {
  protected:
    test::ScratchDir scratch_;
    const std::string path_ = scratch_.path("cache");
    const uint64_t seed_ = [] {
        const char* wish = std::getenv("HYPER_CACHE_SEED");
        return wish != nullptr ? std::strtoull(wish, nullptr, 10) : std::random_device()();
    }();
};

TEST_F(CacheProcesses, that_make_one_file_at_once_end_up_with_the_same) {
    SCOPED_TRACE(seed_);
    for (int round = 0; round < 20; ++round) {
        std::filesystem::remove(path_);
        std::vector<pid_t> children;
        for (uint64_t i = 0; i < 4; ++i) children.push_back(start(path_, seed_ + i, 30));
        for (pid_t child : children) EXPECT_NE(status_of(child), 2);
    }
}

TEST_F(CacheProcesses, read_no_byte_that_was_not_put) {
    SCOPED_TRACE(seed_);
    std::vector<pid_t> children;
    for (uint64_t i = 0; i < 4; ++i) children.push_back(start(path_, seed_ + i, 15'000));
    for (pid_t child : children) EXPECT_EQ(status_of(child), 0);
}

TEST_F(CacheProcesses, that_are_killed_leave_a_cache_that_works) {
    SCOPED_TRACE(seed_);
    std::mt19937_64 random(seed_);
    pid_t reader = start(path_, seed_, 20'000);
    for (uint64_t i = 0; i < 60; ++i) {
        pid_t killed = start(path_, seed_ + i, -1);
        ::usleep(static_cast<useconds_t>(random() % 20'000));
        ::kill(killed, SIGKILL);
        int status = status_of(killed);
        EXPECT_TRUE(status == 1000 + SIGKILL) << status;
    }
    EXPECT_EQ(status_of(reader), 0);
    // Every slot can be written again: what a dead writer had begun is nobody's.
    auto cache = CacheFile::open(path_, size_bytes);
    ASSERT_TRUE(cache);
    Bytes block(CacheFile::block_bytes_max);
    for (uint64_t number = 0; number < 5 * keys; ++number) {
        (*cache)->put(key(number), block);
        EXPECT_TRUE((*cache)->has(key(number))) << number;
    }
}

}  // namespace
}  // namespace hyper
