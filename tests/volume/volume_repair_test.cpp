// SPDX-License-Identifier: Apache-2.0
// Volumes of which something is damaged or gone, and writers whose index failed.
#include "blockengine/volume/repair.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>

#include "blockengine/base/hex.h"
#include "tests/volume/fixture.h"

namespace hyper {
namespace {

using test::ToldChanges;
using Volumes = test::VolumeTest;

// Changes one byte of what is stored of the block that begins with these bytes.
void damage(const std::string& file, std::span<const std::byte> block) {
    auto bytes = test::read_file(file);
    auto at = std::search(bytes.begin(), bytes.end(), block.begin(), block.end());
    ASSERT_NE(at, bytes.end());
    *at ^= std::byte{1};
    test::write_file(file, bytes);
}

TEST_F(Volumes, an_index_that_is_gone_is_rebuilt_from_the_data_files) {
    for (uint32_t block_bytes : {4u << 10, 64u << 10, 1u << 20}) {
        make(block_bytes);
        auto disk = random_disk(3 << 20);
        std::vector<std::vector<std::byte>> states;
        std::mt19937_64 draw(9);
        for (int i = 0; i < 4; ++i) {
            std::fill_n(disk.begin() + 100000 * i, 200000, std::byte{0});
            test::fill_randomly(std::span(disk).subspan(500000u * static_cast<unsigned>(i), 300000), draw);
            sync(disk);
            states.push_back(disk);
        }
        ASSERT_TRUE(writer_->prune(2));
        ASSERT_TRUE(writer_->set_pinned(3, true));
        uint64_t left = 2;
        SyncOptions options;
        options.stop = [&] { return left-- == 0; };
        EXPECT_FALSE(try_sync(random_disk(3 << 20, 77), options));  // not committed, so it is to leave no trace
        writer_ = nullptr;
        std::filesystem::remove_all(path_ + "/index");
        auto opened = VolumeWriter::open(engine_, path_);
        ASSERT_FALSE(opened);
        EXPECT_NE(opened.error().message.find("repair"), std::string::npos) << opened.error().message;

        auto report = repair_volume(engine_, path_, {});
        ASSERT_TRUE(report) << report.error().message;
        EXPECT_TRUE(report->index_rebuilt);
        EXPECT_TRUE(report->all_good()) << (report->damage.empty() ? "" : report->damage[0]);
        reopen();
        EXPECT_EQ(writer_->volume()->generations()->size(), 3u);
        EXPECT_TRUE(writer_->volume()->find("3")->pinned);
        for (uint32_t number : {1u, 3u, 4u}) EXPECT_TRUE(test::read_generation(*writer_->volume(), number) == states[number - 1]) << number;
        disk[1] ^= std::byte{8};
        EXPECT_EQ(hex(sync(disk).generation.root), hex(test::root_of_bytes(disk)));
        EXPECT_TRUE(test::read_generation(*writer_->volume(), 5) == disk);
    }
}

TEST_F(Volumes, repair_names_what_is_lost_and_the_next_sync_brings_it_back) {
    make();
    auto disk = random_disk(2 << 20);
    auto told = [](std::string id, std::string since) { return std::make_shared<ToldChanges>(std::move(id), std::move(since), std::vector<ChangedRun>{}); };
    sync(disk, {}, told("a", ""));
    auto changed = disk;
    changed[100] ^= std::byte{1};
    sync(changed, {}, nullptr);
    damage(path_ + "/data/00000001", std::span(disk).subspan(1 << 20, 256));
    writer_ = nullptr;
    auto report = repair_volume(engine_, path_, {});
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_FALSE(report->index_rebuilt);
    ASSERT_EQ(report->lost.size(), 2u);
    for (uint32_t i : {0u, 1u}) {
        EXPECT_EQ(report->lost[i].generation, i + 1);
        EXPECT_EQ(report->lost[i].range.offset, 1u << 20);
        EXPECT_EQ(report->lost[i].range.length, 64u << 10);
    }
    reopen();
    auto& volume = *writer_->volume();
    std::vector<std::byte> bytes(512);
    auto read = engine_.read(**volume.open_generation(*volume.find("2")), 1 << 20, bytes);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, EIO);
    EXPECT_NE(read.error().message.find("lost"), std::string::npos) << read.error().message;
    auto again = sync(changed, no_samples(), told("b", "a"));
    EXPECT_EQ(again.counts.different_bytes, 64u << 10);
    EXPECT_TRUE(test::read_generation(volume, 3) == changed);
}

TEST_F(Volumes, a_damaged_record_costs_its_blocks_and_is_not_kept_quiet) {
    make();
    auto disk = random_disk(2 << 20);
    sync(disk);
    std::string file = path_ + "/data/00000001";
    auto bytes = test::read_file(file);
    size_t batches = 0;
    for (size_t at = 0; at + 64 < bytes.size(); at += 4096)
        if (std::memcmp(&bytes[at], "hyperdat", 8) == 0 && bytes[at + 8] == std::byte{2} && ++batches == 2) bytes[at + 70] ^= std::byte{1};
    ASSERT_GE(batches, 2u);
    test::write_file(file, bytes);
    writer_ = nullptr;
    RepairOptions options;
    options.rebuild_index = true;
    auto report = repair_volume(engine_, path_, options);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_FALSE(report->damage.empty());
    EXPECT_EQ(report->wrong_roots, std::vector<uint32_t>{1});
    reopen();
    // Rather no answer than a wrong one.
    EXPECT_EQ(writer_->volume()->open_generation(*writer_->volume()->find("1")).error().code, EIO);
    EXPECT_EQ(hex(sync(disk).generation.root), hex(test::root_of_bytes(disk)));
    EXPECT_TRUE(test::read_generation(*writer_->volume(), 2) == disk);
}

// Puts so much into the index's log that it is longer than the data file, and then forbids that any file grows beyond that.
class FilesMayNotGrow {
  public:
    explicit FilesMayNotGrow(VolumeWriter& writer, const std::string& volume) {
        IndexBatch batch;
        batch.set("filler", std::string(2 << 20, 'x'));
        EXPECT_TRUE(writer.index().write(batch, true));
        uint64_t longest = 0;
        for (const auto& entry : std::filesystem::directory_iterator(volume + "/index"))
            if (entry.path().extension() == ".log") longest = std::max<uint64_t>(longest, entry.file_size());
        ::getrlimit(RLIMIT_FSIZE, &before_);
        before_signal_ = ::signal(SIGXFSZ, SIG_IGN);
        struct rlimit limit = before_;
        limit.rlim_cur = longest;
        ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FilesMayNotGrow() {
        ::setrlimit(RLIMIT_FSIZE, &before_);
        ::signal(SIGXFSZ, before_signal_);
    }
    FilesMayNotGrow(const FilesMayNotGrow&) = delete;
    FilesMayNotGrow& operator=(const FilesMayNotGrow&) = delete;

  private:
    struct rlimit before_ {};
    sighandler_t before_signal_ = nullptr;
};

TEST_F(Volumes, a_writer_whose_index_failed_goes_no_further_until_it_is_opened_anew) {
    auto prune = [](VolumeWriter& writer) { return writer.prune(1).map([](const auto&) {}); };
    auto pin = [](VolumeWriter& writer) { return writer.set_pinned(2, true); };
    auto commit = [](VolumeWriter& writer) { return writer.commit({.size_bytes = 1 << 20, .time = 1, .origin = {}, .draft_id = ""}).map([](const auto&) {}); };
    std::vector<std::byte> bytes(block_bytes_default, std::byte{3});
    auto put = [&](VolumeWriter& writer) {
        StoredBlock block{.block = 1, .codec = BlockCodec::plain, .hash = xxh3_128(bytes), .bytes = bytes, .place = {}};
        return writer.put({&block, 1}, {});
    };
    const std::vector<std::pair<const char*, std::function<Result<void>(VolumeWriter&)>>> changes{
        {"prune", prune}, {"pin", pin}, {"commit", commit}, {"put", put}};
    for (const auto& [name, change] : changes) {
        SCOPED_TRACE(name);
        make();
        auto disk = random_disk(1 << 20);
        for (int i = 0; i < 3; ++i) {
            disk[0] ^= std::byte{2};
            sync(disk);
        }
        {
            FilesMayNotGrow limit(*writer_, path_);
            EXPECT_FALSE(change(*writer_));
        }
        auto position = writer_->data().position();
        for (const auto& [other_name, other] : changes) {
            auto refused = other(*writer_);
            ASSERT_FALSE(refused) << other_name;
            EXPECT_NE(refused.error().message.find("until it is opened anew"), std::string::npos) << refused.error().message;
        }
        EXPECT_EQ(writer_->data().position(), position);
        reopen();
        EXPECT_TRUE(change(*writer_));
        EXPECT_EQ(hex(sync(disk).generation.root), hex(test::root_of_bytes(disk)));
    }
}

}  // namespace
}  // namespace hyper
