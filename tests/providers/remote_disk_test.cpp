// SPDX-License-Identifier: Apache-2.0
// What a far disk makes of a provider's faults, with the faulty provider below.
#include "providers/remote_disk.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "tests/support/support.h"

namespace hyper {
namespace {

using namespace std::chrono_literals;

class RemoteDiskTest : public testing::Test {
  protected:
    static constexpr uint32_t size_bytes = 1 << 20, request_bytes = 4096;

    RemoteDiskTest() {
        write_content(7);
        ::setenv("HYPER_ROOT", scratch_.dir().c_str(), 1);
    }
    void write_content(unsigned seed) {
        content_.resize(size_bytes);
        for (size_t i = 0; i < content_.size(); ++i) content_[i] = static_cast<std::byte>((i * seed + i / 251) & 0xff);
        test::write_file(path_, content_);
    }
    Result<std::shared_ptr<RemoteDisk>> open(ProviderOptions faults, RemoteLimits limits = {5s, 20s, 8}, bool track = false,
                                             std::string since = {}) {
        // Each test has an endpoint, and so a breaker, of its own.
        return RemoteDisk::open("faulty://" + path_, {std::move(faults), track, std::move(since)}, limits);
    }
    // All of the disk, all requests at once; gives what each ended with.
    std::vector<Result<std::shared_ptr<const Bytes>>> read_all(const RemoteDisk& disk) {
        struct Answers {
            std::mutex mutex;
            std::condition_variable there;
            std::vector<Result<std::shared_ptr<const Bytes>>> all;
            size_t left;
        };
        auto answers = std::make_shared<Answers>();
        answers->left = size_bytes / request_bytes;
        answers->all.resize(answers->left, fail(EINPROGRESS, "not answered"));
        for (uint32_t i = 0; i < size_bytes / request_bytes; ++i)
            disk.read(uint64_t{i} * request_bytes, request_bytes, [answers, i](Result<std::shared_ptr<const Bytes>> got) {
                std::lock_guard lock(answers->mutex);
                answers->all[i] = std::move(got);
                if (--answers->left == 0) answers->there.notify_all();
            });
        std::unique_lock lock(answers->mutex);
        EXPECT_TRUE(answers->there.wait_for(lock, 2min, [&] { return answers->left == 0; })) << "requests that never end";
        return answers->all;
    }
    void expect_content(const std::vector<Result<std::shared_ptr<const Bytes>>>& got) {
        for (size_t i = 0; i < got.size(); ++i) {
            ASSERT_TRUE(got[i]) << got[i].error().message;
            Bytes expected(content_.begin() + static_cast<std::ptrdiff_t>(i * request_bytes),
                           content_.begin() + static_cast<std::ptrdiff_t>((i + 1) * request_bytes));
            ASSERT_EQ(**got[i], expected) << "request " << i;
        }
    }

    test::ScratchDir scratch_;
    std::string path_ = scratch_.path("disk.raw");
    Bytes content_;
};

TEST_F(RemoteDiskTest, reads_what_is_there) {
    auto disk = open({}).value();
    EXPECT_EQ(disk->size_bytes(), size_bytes);
    expect_content(read_all(*disk));
}

TEST_F(RemoteDiskTest, refuses_a_read_past_its_end) {
    auto disk = open({}).value();
    int code = 0;
    disk->read(size_bytes - 1, 2, [&](Result<std::shared_ptr<const Bytes>> got) { code = got ? 0 : got.error().code; });
    EXPECT_EQ(code, EINVAL);
}

TEST_F(RemoteDiskTest, tries_again_what_will_pass) { expect_content(read_all(*open({{"errors-percent", "30"}}, {5s, 60s, 64}).value())); }

TEST_F(RemoteDiskTest, gives_up_when_the_budget_is_used) {
    auto got = read_all(*open({{"errors-percent", "100"}}, {5s, 2s, 3}).value());
    for (const auto& one : got) {
        ASSERT_FALSE(one);
        EXPECT_EQ(one.error().code, ETIMEDOUT);
    }
    EXPECT_NE(got[0].error().message.find("it was asked to fail"), std::string::npos) << got[0].error().message;
}

TEST_F(RemoteDiskTest, does_not_try_again_what_will_not_pass) {
    auto got = read_all(*open({{"errors-percent", "100"}, {"error", "not-allowed"}}).value());
    ASSERT_FALSE(got[0]);
    EXPECT_EQ(got[0].error().code, EACCES);
    EXPECT_EQ(got[0].error().message.find("given up"), std::string::npos);
}

TEST_F(RemoteDiskTest, ends_reads_of_a_provider_that_hangs) {
    auto disk = open({{"hang-percent", "100"}}, {50ms, 300ms, 3}).value();
    for (const auto& one : read_all(*disk)) {
        ASSERT_FALSE(one);
        EXPECT_EQ(one.error().code, ETIMEDOUT);
        EXPECT_NE(one.error().message.find("hangs"), std::string::npos) << one.error().message;
    }
}

TEST_F(RemoteDiskTest, reads_on_while_some_reads_hang) { expect_content(read_all(*open({{"hang-percent", "20"}}, {100ms, 60s, 64}).value())); }

TEST_F(RemoteDiskTest, says_that_a_snapshot_is_gone) {
    auto got = read_all(*open({{"gone-after-reads", "10"}}).value());
    size_t good = 0;
    for (const auto& one : got) {
        if (one)
            ++good;
        else
            EXPECT_EQ(one.error().code, ESTALE);
    }
    EXPECT_EQ(good, 10u);
}

TEST_F(RemoteDiskTest, logs_in_again_and_goes_on) {
    expect_content(read_all(*open({{"session-reads", "100"}}, {5s, 60s, 64}).value()));
}

TEST_F(RemoteDiskTest, does_not_mix_two_states_when_it_logs_in_again) {
    auto disk = open({{"session-reads", "100"}}, {5s, 60s, 64}).value();
    auto older = content_;
    write_content(13);
    std::filesystem::last_write_time(path_, std::filesystem::file_time_type::clock::now() + 10s);
    bool stale = false;
    for (const auto& one : read_all(*disk)) stale |= !one && one.error().code == ESTALE;
    EXPECT_TRUE(stale);
}

TEST_F(RemoteDiskTest, is_not_held_up_by_a_snapshot_that_never_comes) {
    ::setenv("HYPER_REMOTE_TIMEOUT", "0.02", 1);
    auto opened = open({{"hang-calls", "1"}});
    ::unsetenv("HYPER_REMOTE_TIMEOUT");
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, EIO);
    EXPECT_NE(opened.error().message.find("hangs"), std::string::npos) << opened.error().message;
}

TEST_F(RemoteDiskTest, is_released_before_the_process_ends_though_a_read_that_nobody_waits_for_had_it_last) {
    ::setenv("HYPER_REMOTE_TIMEOUT", "6", 1);
    auto answered = std::make_shared<std::atomic<bool>>(false);
    open({{"latency-ms", "300"}}).value()->read(0, request_bytes, [answered](const auto&) { *answered = true; });
    EXPECT_FALSE(*answered);
    end_providers();
    EXPECT_TRUE(*answered);
    ::unsetenv("HYPER_REMOTE_TIMEOUT");
}

TEST_F(RemoteDiskTest, refuses_an_option_that_its_provider_does_not_know) {
    auto opened = open({{"latency", "3"}});
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, EINVAL);
    EXPECT_NE(opened.error().message.find("latency-ms"), std::string::npos) << opened.error().message;
}

TEST_F(RemoteDiskTest, knows_what_changed_since_its_mark) {
    auto first = open({}, {5s, 20s, 8}, true).value();
    std::string mark = first->changes()->change_id();
    ASSERT_FALSE(mark.empty());
    auto same = open({}, {5s, 20s, 8}, true, mark).value();
    EXPECT_TRUE(same->changes()->changed_since(mark).value().value().empty());
    write_content(13);
    std::filesystem::last_write_time(path_, std::filesystem::file_time_type::clock::now() + 10s);
    auto later = open({}, {5s, 20s, 8}, true, mark).value();
    auto changed = later->changes()->changed_since(mark).value().value();
    ASSERT_EQ(changed.size(), 1u);
    EXPECT_EQ(changed[0].length, size_bytes);
    EXPECT_FALSE(later->changes()->changed_since("another").value());
}

TEST_F(RemoteDiskTest, says_that_tracking_was_lost) {
    std::string mark = open({}, {5s, 20s, 8}, true).value()->changes()->change_id();
    auto disk = open({{"lose-tracking", "1"}}, {5s, 20s, 8}, true, mark).value();
    EXPECT_FALSE(disk->changes()->changed_since(mark).value());
}

}  // namespace
}  // namespace hyper
