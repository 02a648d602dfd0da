// SPDX-License-Identifier: Apache-2.0
// An export whose bytes are far away, read by a real client.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <libnbd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "blockengine/fetch/fetcher.h"
#include "nbdserver/connection.h"
#include "nbdserver/door.h"
#include "nbdserver/loop.h"
#include "nbdserver/workers.h"
#include "tests/support/fake_remote.h"

namespace hyper::nbd {
namespace {

class FarDirectory : public Directory {
  public:
    explicit FarDirectory(std::shared_ptr<const Source> source) {
        auto made = std::make_shared<Export>();
        made->name = "far";
        made->source = std::move(source);
        export_ = std::move(made);
    }
    std::vector<Listed> list() override { return {{"far", "", "far"}}; }
    std::string disk_of(const std::string& name) override { return name; }
    Result<std::string> default_name() override { return "far"; }
    Result<std::shared_ptr<const Export>> open(const std::string&) override { return export_; }

  private:
    std::shared_ptr<const Export> export_;
};

class FarExportTest : public testing::Test {
  protected:
    void serve(std::shared_ptr<CacheFile> cache = nullptr) {
        share_ = std::make_shared<FetchShare>(std::move(cache));
        auto source = std::make_shared<FileSource>(open_far(remote_, engine_.io(), share_));
        door_ = std::make_shared<Door>(std::make_shared<FarDirectory>(source), Rules::for_private_socket(), nullptr);
        loop_ = *Loop::make(engine_, workers_, nullptr);
        thread_ = std::thread([this] { loop_->run(); });
        int ends[2];
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
        loop_->post([this, fd = ends[0]] {
            Peer peer;
            peer.address = peer.origin = "test";
            peer.local = true;
            peer.uid = ::geteuid();
            loop_->add(std::make_shared<Connection>(*loop_, watchers_, door_, UniqueFd(fd), peer));
        });
        client_ = nbd_create();
        ASSERT_EQ(nbd_connect_socket(client_, ends[1]), 0) << nbd_get_error();
    }
    void TearDown() override {
        nbd_close(client_);
        loop_->stop();
        thread_.join();
    }

    // Many reads of 4 KiB at once, each of a block of its own.
    struct Read {
        uint64_t offset;
        Bytes buffer = Bytes(4096);
        int64_t cookie = 0;
    };
    std::vector<Read> start(size_t count) {
        std::vector<Read> reads;
        for (uint64_t i = 0; i < count; ++i) reads.push_back({(i * 37 % count) * 5 * CacheFile::block_bytes_max});
        for (Read& each : reads)
            each.cookie = nbd_aio_pread(client_, each.buffer.data(), each.buffer.size(), each.offset, NBD_NULL_COMPLETION, 0);
        return reads;
    }
    // Lets the client send and receive until `done`.
    void poll_until(const std::function<bool()>& done) {
        while (!done()) ASSERT_GE(nbd_poll(client_, 10), 0) << nbd_get_error();
    }

    Engine engine_{make_system_io(), MiB};
    Watchers watchers_;
    // One: what needs it waits for what has it.
    Workers workers_{1};
    std::shared_ptr<test::FakeRemote> remote_ = std::make_shared<test::FakeRemote>();
    std::shared_ptr<FetchShare> share_;
    std::shared_ptr<const Door> door_;
    std::unique_ptr<Loop> loop_;
    std::thread thread_;
    nbd_handle* client_ = nullptr;
};

TEST_F(FarExportTest, has_all_that_a_client_asks_for_under_way_whatever_the_workers) {
    serve();
    auto reads = start(32);
    // None is answered before all have been asked for.
    poll_until([&] { return remote_->count() == 32; });
    remote_->answer_all();
    for (Read& each : reads) {
        poll_until([&] { return nbd_aio_command_completed(client_, each.cookie) != 0; });
        EXPECT_EQ(each.buffer, test::bytes_at(each.offset, 4096));
    }
}

TEST_F(FarExportTest, answers_others_while_a_read_hangs) {
    serve();
    Bytes hanging(4096), other(4096);
    int64_t first = nbd_aio_pread(client_, hanging.data(), 4096, 0, NBD_NULL_COMPLETION, 0);
    poll_until([&] { return remote_->count() == 1; });
    int64_t second = nbd_aio_pread(client_, other.data(), 4096, 10 * MiB, NBD_NULL_COMPLETION, 0);
    poll_until([&] { return remote_->count() == 2; });
    remote_->answer(1);
    poll_until([&] { return nbd_aio_command_completed(client_, second) == 1; });
    EXPECT_EQ(other, test::bytes_at(10 * MiB, 4096));
    EXPECT_EQ(nbd_aio_command_completed(client_, first), 0);
    remote_->answer(0);
    poll_until([&] { return nbd_aio_command_completed(client_, first) == 1; });
}

TEST_F(FarExportTest, gives_eio_for_what_the_far_side_does_not_give) {
    serve();
    remote_->answer_at_once(4096);
    Bytes buffer(100);
    EXPECT_NE(nbd_pread(client_, buffer.data(), buffer.size(), 4096, 0), 0);
    EXPECT_EQ(nbd_get_errno(), EIO);
    EXPECT_EQ(nbd_pread(client_, buffer.data(), buffer.size(), MiB, 0), 0);
    EXPECT_EQ(buffer, test::bytes_at(MiB, 100));
}

TEST_F(FarExportTest, ends_with_its_clients_while_reads_are_under_way) {
    serve();
    start(16);
    poll_until([&] { return remote_->count() == 16; });
    nbd_close(std::exchange(client_, nbd_create()));
    std::thread later([this] { remote_->answer_all(); });
    later.join();
}

TEST_F(FarExportTest, gives_large_reads_in_parts_and_in_one) {
    serve();
    remote_->answer_at_once();
    Bytes buffer(3 * MiB + 77);
    EXPECT_EQ(nbd_pread(client_, buffer.data(), buffer.size(), 12345, 0), 0) << nbd_get_error();
    EXPECT_EQ(buffer, test::bytes_at(12345, buffer.size()));
    auto chunk = [](void*, const void*, size_t, uint64_t, unsigned, int*) { return 0; };
    nbd_chunk_callback ignored{.callback = chunk, .user_data = nullptr, .free = nullptr};
    EXPECT_EQ(nbd_pread_structured(client_, buffer.data(), buffer.size(), 23 * MiB, ignored, LIBNBD_CMD_FLAG_DF), 0) << nbd_get_error();
    EXPECT_EQ(buffer, test::bytes_at(23 * MiB, buffer.size()));
}

TEST_F(FarExportTest, is_read_from_the_cache_on_the_disk) {
    test::ScratchDir scratch;
    remote_ = std::make_shared<test::FakeRemote>(test::FakeRemote::Limits{}, "disk");
    serve(*CacheFile::open(scratch.path("cache"), 32 * MiB));
    remote_->answer_at_once();
    Bytes buffer(8 * MiB);
    ASSERT_EQ(nbd_pread(client_, buffer.data(), buffer.size(), 0, 0), 0);
    share_->writer->drain();
    size_t before = remote_->count();
    // Memory forgets it all.
    for (uint64_t at = 0; at < 2 * FetchShare::memory_bytes; at += CacheFile::block_bytes_max)
        share_->memory.put(1u << 30, at, std::make_shared<const Bytes>(CacheFile::block_bytes_max));
    ASSERT_EQ(nbd_pread(client_, buffer.data(), buffer.size(), 0, 0), 0);
    EXPECT_EQ(buffer, test::bytes_at(0, buffer.size()));
    EXPECT_LT(remote_->count(), before + 40) << "but for what is read ahead";
    for (size_t nth = before; nth < remote_->count(); ++nth) EXPECT_GE(remote_->asked()[nth].offset, 8 * MiB);
}

}  // namespace
}  // namespace hyper::nbd
