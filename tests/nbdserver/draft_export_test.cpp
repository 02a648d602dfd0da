// SPDX-License-Identifier: Apache-2.0
// A volume's draft as an export, written by a real client.
#include <fcntl.h>
#include <libnbd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <random>
#include <thread>

#include "blockengine/volume/draft.h"
#include "nbdserver/connection.h"
#include "nbdserver/door.h"
#include "nbdserver/loop.h"
#include "nbdserver/workers.h"
#include "tests/support/faulty_io.h"
#include "tests/support/support.h"

namespace hyper::nbd {
namespace {

using Bytes = std::vector<std::byte>;

constexpr uint64_t disk_bytes = 4 * MiB + 1000;

class OneExport : public Directory {
  public:
    explicit OneExport(std::shared_ptr<Draft> draft) {
        auto made = std::make_shared<Export>();
        made->name = "draft";
        made->source = draft->source();
        made->writable = std::move(draft);
        made->contexts = {allocation_context(made->source)};
        export_ = std::move(made);
    }
    std::vector<Listed> list() override { return {{"draft", "", "draft"}}; }
    std::string disk_of(const std::string& name) override { return name; }
    Result<std::string> default_name() override { return "draft"; }
    Result<std::shared_ptr<const Export>> open(const std::string&) override { return export_; }

  private:
    std::shared_ptr<const Export> export_;
};

class DraftExportTest : public testing::Test {
  protected:
    void SetUp() override {
        auto draft = Draft::open(folder_, identity_, base_, engine_);
        ASSERT_TRUE(draft) << draft.error().message;
        door_ = std::make_shared<Door>(std::make_shared<OneExport>(*draft), Rules::for_private_socket(), nullptr);
        loop_ = *Loop::make(engine_, workers_, nullptr);
        thread_ = std::thread([this] { loop_->run(); });
        client_ = connect();
        ASSERT_TRUE(engine_.read(*base_, 0, std::span(model_).first(base_->size_bytes())));
    }
    void TearDown() override {
        nbd_close(client_);
        loop_->stop();
        thread_.join();
    }

    nbd_handle* connect() {
        int ends[2];
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
        loop_->post([this, fd = ends[0]] {
            Peer peer;
            peer.address = peer.origin = "test";
            peer.local = true;
            peer.uid = ::geteuid();
            loop_->add(std::make_shared<Connection>(*loop_, watchers_, door_, UniqueFd(fd), peer));
        });
        nbd_handle* client = nbd_create();
        nbd_add_meta_context(client, LIBNBD_CONTEXT_BASE_ALLOCATION);
        EXPECT_EQ(nbd_connect_socket(client, ends[1]), 0) << nbd_get_error();
        return client;
    }
    // What a new server would find of a sector, were the power cut now.
    SectorState logged(uint64_t sector) {
        std::string copy = scratch_.path("copy");
        std::filesystem::create_directory(copy);
        test::write_file(copy + "/map", test::read_file(folder_ + "/map"));
        DraftMap map(divide_up(disk_bytes, draft_sector_bytes));
        EXPECT_TRUE(DraftLog::open(copy, identity_, engine_.io(), map));
        return map.at(sector);
    }
    Bytes read() {
        Bytes bytes(disk_bytes);
        EXPECT_EQ(nbd_pread(client_, bytes.data(), bytes.size(), 0, 0), 0) << nbd_get_error();
        return bytes;
    }

    test::ScratchDir scratch_;
    Engine engine_{std::make_unique<test::FaultyIo>(), MiB};
    test::FaultyIo& io_ = static_cast<test::FaultyIo&>(engine_.io());
    std::shared_ptr<const Source> base_ = test::pattern(3 * MiB, test::random_runs(3 * MiB, 4096, 0.5, 1));
    DraftIdentity identity_{{}, 1, disk_bytes};
    std::string folder_ = scratch_.path("draft");
    Watchers watchers_;
    Workers workers_{2};
    std::shared_ptr<const Door> door_;
    std::unique_ptr<Loop> loop_;
    std::thread thread_;
    nbd_handle* client_ = nullptr;
    Bytes model_ = Bytes(disk_bytes);
};

TEST_F(DraftExportTest, takes_requests_of_any_alignment) {
    uint64_t seed = std::random_device()();
    std::cout << "seed " << seed << "\n";
    std::mt19937_64 random(seed);
    for (int step = 0; step < 400; ++step) {
        uint64_t most = std::array<uint64_t, 4>{100, 4096, 100'000, 2 * MiB}[random() % 4];
        uint64_t offset = random() % disk_bytes, length = std::min(disk_bytes - offset, random() % most + 1);
        if (random() % 2 == 0) offset = round_down(offset, 4096);
        uint32_t fua = random() % 8 == 0 ? LIBNBD_CMD_FLAG_FUA : 0;
        auto range = std::span(model_).subspan(offset, length);
        if (random() % 4 == 0) {
            ASSERT_EQ(nbd_zero(client_, length, offset, fua), 0) << nbd_get_error();
            std::ranges::fill(range, std::byte{0});
        } else if (random() % 8 == 0) {
            ASSERT_EQ(nbd_trim(client_, length, offset, fua), 0) << nbd_get_error();
            uint64_t begin = round_up(offset, 4096), end = offset + length;
            if (end != disk_bytes) end = round_down(end, 4096);
            if (begin < end) std::fill(model_.begin() + static_cast<ptrdiff_t>(begin), model_.begin() + static_cast<ptrdiff_t>(end), std::byte{0});
        } else {
            for (std::byte& byte : range) byte = static_cast<std::byte>(random());
            ASSERT_EQ(nbd_pwrite(client_, range.data(), length, offset, fua), 0) << nbd_get_error();
        }
        if (step % 40 == 0) {
            ASSERT_EQ(read(), model_) << "step " << step;
        }
    }
    EXPECT_EQ(read(), model_);
}

TEST_F(DraftExportTest, what_was_flushed_or_sent_with_fua_is_logged) {
    Bytes bytes(5000, std::byte{1});
    ASSERT_EQ(nbd_pwrite(client_, bytes.data(), bytes.size(), 100, 0), 0);
    EXPECT_EQ(logged(0), SectorState::absent);
    ASSERT_EQ(nbd_flush(client_, 0), 0);
    EXPECT_EQ(logged(0), SectorState::data);
    ASSERT_EQ(nbd_pwrite(client_, bytes.data(), bytes.size(), 10 * 4096 + 1, LIBNBD_CMD_FLAG_FUA), 0);
    EXPECT_EQ(logged(11), SectorState::data);
    ASSERT_EQ(nbd_zero(client_, 4096, 20 * 4096, LIBNBD_CMD_FLAG_FUA), 0);
    EXPECT_EQ(logged(20), SectorState::zero);
    ASSERT_EQ(nbd_trim(client_, 4096, 30 * 4096, LIBNBD_CMD_FLAG_FUA), 0);
    EXPECT_EQ(logged(30), SectorState::zero);
}

TEST_F(DraftExportTest, clients_that_write_parts_of_the_same_sectors_lose_nothing) {
    nbd_handle* other = connect();
    auto write_every_second = [](nbd_handle* client, uint64_t from) {
        Bytes bytes(1000, static_cast<std::byte>(from / 1000 + 1));
        for (uint64_t at = from; at + 1000 <= 2 * MiB; at += 2000)
            ASSERT_EQ(nbd_pwrite(client, bytes.data(), bytes.size(), at, 0), 0) << nbd_get_error();
    };
    std::thread thread([&] { write_every_second(other, 0); });
    write_every_second(client_, 1000);
    thread.join();
    nbd_close(other);
    for (uint64_t at = 0; at < round_down(2 * MiB, 1000); ++at) model_[at] = static_cast<std::byte>(at / 1000 % 2 + 1);
    EXPECT_EQ(read(), model_);
}

TEST_F(DraftExportTest, want_of_room_is_told_and_goes_away) {
    Bytes bytes(100, std::byte{1});
    io_.set_room(0);
    EXPECT_EQ(nbd_pwrite(client_, bytes.data(), bytes.size(), 100, 0), -1);
    EXPECT_EQ(nbd_get_errno(), ENOSPC);
    EXPECT_EQ(read(), model_);
    io_.set_room(test::FaultyIo::unlimited);
    EXPECT_EQ(nbd_pwrite(client_, bytes.data(), bytes.size(), 100, 0), 0);
}

}  // namespace
}  // namespace hyper::nbd
