// SPDX-License-Identifier: Apache-2.0
// The reader against a real qemu-nbd, which is stopped and killed.
#include "providers/libvirt/nbd_reader.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <time.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "providers/libvirt/process.h"

namespace hyper::provider::libvirt {
namespace {

hyper_call within_ms(int64_t limit_ms) {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return {sizeof(hyper_call), int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec + limit_ms * 1'000'000, nullptr};
}

struct Read : hyper_read {
    std::vector<char> bytes;
    std::promise<hyper_failure> ended;

    Read(uint64_t at, size_t count, int64_t limit_ms) : hyper_read{}, bytes(count) {
        size = sizeof(hyper_read);
        offset = at;
        length = count;
        buffer = bytes.data();
        deadline_ns = within_ms(limit_ms).deadline_ns;
        done = [](hyper_read* read, hyper_failure failure, const hyper_error*) { static_cast<Read*>(read)->ended.set_value(failure); };
    }
    hyper_failure wait() { return ended.get_future().get(); }
};

class LibvirtNbdReader : public testing::Test {
  protected:
    static constexpr size_t disk_bytes = 4 << 20;

    LibvirtNbdReader() {
        std::filesystem::create_directories(folder_);
        content_.assign(disk_bytes, '\0');
        for (size_t i = 1 << 20; i < 3 << 20; ++i) content_[i] = static_cast<char>(i * 2654435761u >> 13);
        std::ofstream(image_, std::ios::binary) << content_.substr(0, 3 << 20);
        std::filesystem::resize_file(image_, disk_bytes);
    }
    ~LibvirtNbdReader() override { std::filesystem::remove_all(folder_); }

    std::unique_ptr<NbdReader> open() {
        auto server = Child::start({"qemu-nbd", "--read-only", "--persistent", "--shared=8", "--format=raw", "--socket=" + socket_, image_});
        if (!server) return nullptr;
        server_.push_back(std::move(*server));
        for (int i = 0; i < 1000; ++i) {
            auto reader = NbdReader::open({{socket_, "", ""}}, within_ms(20'000));
            if (reader) return std::move(*reader);
            usleep(10'000);
        }
        return nullptr;
    }
    void signal_server(int number) {
        for (pid_t pid : processes_with("qemu-nbd", "--socket=" + socket_)) kill(pid, number);
    }

    std::string folder_ = testing::TempDir() + "reader" + std::to_string(getpid()), image_ = folder_ + "/image", socket_ = folder_ + "/socket",
                content_;
    std::vector<Child> server_;
};

TEST_F(LibvirtNbdReader, reads_any_range_many_at_a_time) {
    auto reader = open();
    ASSERT_TRUE(reader);
    EXPECT_EQ(reader->size_bytes(0), disk_bytes);
    std::vector<std::unique_ptr<Read>> reads;
    for (size_t i = 0; i < 300; ++i) reads.push_back(std::make_unique<Read>(i * 13'001 % (disk_bytes - 9'999), 1 + i * 33, 20'000));
    for (auto& read : reads) reader->read(*read);
    for (auto& read : reads) {
        ASSERT_EQ(read->wait(), HYPER_OK);
        ASSERT_EQ(std::string(read->bytes.data(), read->length), content_.substr(read->offset, read->length)) << read->offset;
    }
}

TEST_F(LibvirtNbdReader, tells_zeros_in_pages_that_begin_where_they_are_asked_for) {
    auto reader = open();
    ASSERT_TRUE(reader);
    auto whole = reader->extents(within_ms(20'000), NbdReader::Map::zeros, 0, 0, disk_bytes, 10);
    ASSERT_TRUE(whole) << whole.error().message;
    EXPECT_EQ(whole->back().flags, uint32_t{HYPER_EXTENT_ZERO});
    auto page = reader->extents(within_ms(20'000), NbdReader::Map::zeros, 0, 2'000'000, 2'000'000, 1);
    ASSERT_TRUE(page);
    ASSERT_EQ(page->size(), 1u);
    EXPECT_EQ(page->front().length, (3u << 20) - 2'000'000);
    EXPECT_EQ(page->front().flags, 0u);
}

TEST_F(LibvirtNbdReader, refuses_what_is_past_the_end) {
    auto reader = open();
    ASSERT_TRUE(reader);
    Read past(disk_bytes - 10, 11, 20'000), far(UINT64_MAX - 5, 10, 20'000);
    reader->read(past);
    reader->read(far);
    EXPECT_EQ(past.wait(), HYPER_FATAL);
    EXPECT_EQ(far.wait(), HYPER_FATAL);
    EXPECT_FALSE(reader->extents(within_ms(20'000), NbdReader::Map::zeros, 0, disk_bytes, 1, 1));
}

TEST_F(LibvirtNbdReader, gives_up_at_the_deadline_and_reads_again_when_the_server_goes_on) {
    auto reader = open();
    ASSERT_TRUE(reader);
    signal_server(SIGSTOP);
    // Enough for every connection to have one.
    std::vector<std::unique_ptr<Read>> late;
    for (uint64_t i = 0; i < 8; ++i) late.push_back(std::make_unique<Read>(i * 4096, 4096, 200));
    for (auto& read : late) reader->read(*read);
    for (auto& read : late) EXPECT_EQ(read->wait(), HYPER_RETRY_LATER);
    EXPECT_EQ(reader->extents(within_ms(100), NbdReader::Map::zeros, 0, 0, 1, 1).error().kind, HYPER_RETRY_LATER);
    signal_server(SIGCONT);
    Read again(1 << 20, 4096, 20'000);
    reader->read(again);
    EXPECT_EQ(again.wait(), HYPER_OK);
    EXPECT_EQ(std::string(again.bytes.data(), 4096), content_.substr(1 << 20, 4096));
}

TEST_F(LibvirtNbdReader, says_that_the_snapshot_is_gone_when_the_server_ends) {
    auto reader = open();
    ASSERT_TRUE(reader);
    signal_server(SIGSTOP);
    std::vector<std::unique_ptr<Read>> reads;
    for (uint64_t i = 0; i < 100; ++i) reads.push_back(std::make_unique<Read>(i * 4096, 4096, 20'000));
    for (auto& read : reads) reader->read(*read);
    signal_server(SIGKILL);
    for (auto& read : reads) EXPECT_EQ(read->wait(), HYPER_SNAPSHOT_GONE);
    Read after(0, 1, 20'000);
    reader->read(after);
    EXPECT_EQ(after.wait(), HYPER_SNAPSHOT_GONE);
}

TEST_F(LibvirtNbdReader, ends_what_is_under_way_when_it_ends) {
    auto reader = open();
    ASSERT_TRUE(reader);
    signal_server(SIGSTOP);
    std::vector<std::unique_ptr<Read>> reads;
    for (uint64_t i = 0; i < 200; ++i) reads.push_back(std::make_unique<Read>(i * 4096, 4096, 20'000));
    for (auto& read : reads) reader->read(*read);
    reader.reset();
    for (auto& read : reads) EXPECT_EQ(read->wait(), HYPER_SNAPSHOT_GONE);
    signal_server(SIGCONT);
}

}  // namespace
}  // namespace hyper::provider::libvirt
