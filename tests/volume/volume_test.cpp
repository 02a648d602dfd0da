// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/volume.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>

#include "blockengine/base/hex.h"
#include "blockengine/volume/repair.h"
#include "blockengine/volume/volume_draft.h"
#include "tests/volume/fixture.h"

namespace hyper {
namespace {

using test::ToldChanges;
class Volumes : public test::VolumeTest {
  protected:
    static SyncOptions no_samples() {
        SyncOptions options;
        options.sampled_blocks = 0;
        return options;
    }
    static SyncOptions trusting() {
        SyncOptions options;
        options.trust = true;
        return options;
    }
    static SyncOptions at(int64_t time) {
        SyncOptions options;
        options.time = time;
        return options;
    }
};

TEST_F(Volumes, of_one_that_cannot_be_made_nothing_is_left) {
    // Its folder can have a path, and the folder in it cannot.
    constexpr size_t path_bytes_max = 4095;
    std::string parent = scratch_.path("deep");
    const std::string suffix = fmt::format(".{}.new", ::getpid()), name = "v.volume";
    const size_t ending = std::string("/.").size() + name.size() + suffix.size(), wanted = path_bytes_max - 2 - ending;
    while (parent.size() < wanted) parent += '/' + std::string(std::clamp<size_t>(wanted - parent.size(), 2, 101) - 1, 'd');
    std::filesystem::create_directories(parent);
    EXPECT_EQ(VolumeWriter::create(engine_, parent + '/' + name, {}).error().code, ENAMETOOLONG);
    EXPECT_TRUE(std::filesystem::is_empty(parent));
}

TEST_F(Volumes, a_new_one_has_no_generation) {
    make();
    EXPECT_TRUE(writer_->volume()->generations()->empty());
    EXPECT_EQ(writer_->volume()->find("latest").error().code, ENOENT);
}

TEST_F(Volumes, what_was_synced_reads_back_whatever_the_block_size) {
    for (uint32_t block_bytes : {4u << 10, 64u << 10, 1u << 20, 4u << 20})
        for (size_t size : {size_t{512}, size_t{65536}, size_t{3 << 20} + 512, size_t{1000000}}) {
            make(block_bytes);
            auto disk = random_disk(size);
            std::fill(disk.begin() + static_cast<ptrdiff_t>(size / 4), disk.begin() + static_cast<ptrdiff_t>(size / 2), std::byte{0});
            auto report = sync(disk);
            EXPECT_EQ(test::read_generation(*writer_->volume(), 1), disk) << block_bytes << " " << size;
            EXPECT_EQ(hex(report.generation.root), hex(test::root_of_bytes(disk))) << block_bytes << " " << size;
        }
}

TEST_F(Volumes, every_generation_stays_what_it_was) {
    make();
    auto disk = random_disk(2 << 20);
    std::vector<std::vector<std::byte>> states;
    std::mt19937_64 draw(7);
    for (int i = 0; i < 6; ++i) {
        test::fill_randomly(std::span(disk).subspan(draw() % (1 << 20), 100000), draw);
        auto report = sync(disk);
        EXPECT_EQ(hex(report.generation.root), hex(test::root_of_bytes(disk)));
        states.push_back(disk);
    }
    for (uint32_t i = 0; i < states.size(); ++i) EXPECT_EQ(test::read_generation(*writer_->volume(), i + 1), states[i]) << i + 1;
}

TEST_F(Volumes, zeros_take_no_place) {
    make();
    uint64_t before = data_bytes();
    auto report = sync(std::vector<std::byte>(16 << 20));
    EXPECT_EQ(report.counts.stored_bytes, 0u);
    EXPECT_LT(data_bytes() - before, 64u << 10);
}

TEST_F(Volumes, what_packs_well_is_packed_and_what_does_not_is_not) {
    make();
    std::vector<std::byte> text(4 << 20, std::byte{'a'});
    EXPECT_LT(sync(text).counts.stored_bytes, 64u << 10);
    EXPECT_EQ(test::read_generation(*writer_->volume(), 1), text);
    auto random = random_disk(4 << 20);
    EXPECT_EQ(sync(random).counts.stored_bytes, random.size());
    make(block_bytes_default, false);
    EXPECT_EQ(sync(text).counts.stored_bytes, text.size());
}

TEST_F(Volumes, only_what_differs_is_stored) {
    make();
    auto disk = random_disk(8 << 20);
    sync(disk);
    disk[5 << 20] ^= std::byte{0x10};
    auto report = sync(disk);
    EXPECT_EQ(report.counts.different_bytes, 64u << 10);
    EXPECT_EQ(report.counts.read_bytes, disk.size());
    auto changed = writer_->volume()->changed(1, 2);
    ASSERT_TRUE(changed);
    EXPECT_EQ(changed->block_count(), 1u);
    EXPECT_TRUE(changed->contains((5 << 20) / (64 << 10)));
    EXPECT_EQ(sync(disk).counts.different_bytes, 0u);
}

TEST_F(Volumes, a_source_that_knows_what_changed_is_read_only_there) {
    make();
    auto disk = random_disk(8 << 20);
    auto first = sync(disk, {}, std::make_shared<ToldChanges>("a", "", std::vector<ChangedRun>{}));
    EXPECT_TRUE(first.compared_all);
    disk[5 << 20] ^= std::byte{0x10};
    auto report = sync(disk, no_samples(),
                       std::make_shared<ToldChanges>("b", "a", std::vector<ChangedRun>{{5 << 20, 1}, {1 << 20, 70000}}));
    EXPECT_FALSE(report.compared_all) << report.why_all;
    EXPECT_EQ(report.reported_bytes, 70001u);
    EXPECT_EQ(report.counts.read_bytes, 3u * (64 << 10));
    EXPECT_EQ(report.counts.different_bytes, 64u << 10);
    EXPECT_EQ(test::read_generation(*writer_->volume(), 2), disk);
    EXPECT_EQ(hex(report.generation.root), hex(test::root_of_bytes(disk)));
}

TEST_F(Volumes, a_lost_block_says_nothing_against_the_source) {
    make();
    auto disk = random_disk(block_bytes_default);
    sync(disk, {}, std::make_shared<ToldChanges>("a", "", std::vector<ChangedRun>{}));
    BlockEntry lost;
    lost.codec = BlockCodec::lost;
    IndexBatch batch;
    batch.put_block(0, 1, lost);
    ASSERT_TRUE(writer_->index().write(batch, true));
    auto report = sync(disk, {}, std::make_shared<ToldChanges>("b", "a", std::vector<ChangedRun>{}));
    EXPECT_FALSE(report.compared_all) << report.why_all;
    EXPECT_EQ(report.sampled_blocks, 0u);
}

TEST_F(Volumes, a_change_id_that_the_source_does_not_know_means_that_everything_is_compared) {
    make();
    auto disk = random_disk(4 << 20);
    sync(disk, {}, std::make_shared<ToldChanges>("a", "", std::vector<ChangedRun>{}));
    disk[3 << 20] ^= std::byte{1};
    auto report = sync(disk, {}, std::make_shared<ToldChanges>("c", "b", std::vector<ChangedRun>{}));
    EXPECT_TRUE(report.compared_all);
    EXPECT_NE(report.why_all.find("does not know"), std::string::npos) << report.why_all;
    EXPECT_EQ(test::read_generation(*writer_->volume(), 2), disk);
}

TEST_F(Volumes, a_source_that_lies_is_found_out_and_not_believed_again) {
    make();
    auto disk = random_disk(1 << 20);
    sync(disk, {}, std::make_shared<ToldChanges>("a", "", std::vector<ChangedRun>{}));
    std::mt19937_64 draw(3);
    test::fill_randomly(disk, draw);  // all of it, and it says that nothing has changed
    auto report = sync(disk, SyncOptions(), std::make_shared<ToldChanges>("b", "a", std::vector<ChangedRun>{}));
    EXPECT_TRUE(report.compared_all);
    EXPECT_EQ(test::read_generation(*writer_->volume(), 2), disk);
    reopen();
    auto next = sync(disk, {}, std::make_shared<ToldChanges>("c", "b", std::vector<ChangedRun>{}));
    EXPECT_TRUE(next.compared_all);
    EXPECT_NE(next.why_all.find("not trusted"), std::string::npos) << next.why_all;
    auto trusted = sync(disk, trusting(), std::make_shared<ToldChanges>("d", "c", std::vector<ChangedRun>{}));
    EXPECT_FALSE(trusted.compared_all) << trusted.why_all;
}

TEST_F(Volumes, a_disk_may_grow_and_shrink) {
    make();
    auto disk = random_disk(3 << 20);
    sync(disk);
    auto small = std::vector(disk.begin(), disk.begin() + 1000000);
    auto report = sync(small);
    EXPECT_EQ(hex(report.generation.root), hex(test::root_of_bytes(small)));
    auto large = small;
    large.resize(5 << 20);
    report = sync(large);
    EXPECT_EQ(hex(report.generation.root), hex(test::root_of_bytes(large)));
    EXPECT_EQ(test::read_generation(*writer_->volume(), 1), disk);
    EXPECT_EQ(test::read_generation(*writer_->volume(), 2), small);
    EXPECT_EQ(test::read_generation(*writer_->volume(), 3), large);
}

TEST_F(Volumes, a_second_writer_is_told_who_writes) {
    make();
    auto second = VolumeWriter::open(engine_, path_);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, EBUSY);
    EXPECT_NE(second.error().message.find(std::to_string(::getpid())), std::string::npos) << second.error().message;
}

TEST_F(Volumes, a_reader_follows_new_generations) {
    make();
    auto disk = random_disk(1 << 20);
    sync(disk);
    auto reader = Volume::open(engine_, path_);
    ASSERT_TRUE(reader) << reader.error().message;
    EXPECT_EQ(test::read_generation(**reader, 1), disk);
    auto held = (*reader)->open_generation(*(*reader)->find("1"));
    auto old = disk;
    disk[70000] ^= std::byte{2};
    sync(disk);
    ASSERT_TRUE((*reader)->refresh());
    EXPECT_EQ((*reader)->find("latest")->number, 2u);
    EXPECT_EQ(test::read_generation(**reader, 2), disk);
    EXPECT_EQ(test::read_all(**held), old);
}

TEST_F(Volumes, generations_are_found_by_number_and_time) {
    make();
    auto disk = random_disk(100000);
    for (int64_t time : {1000, 2000, 3000}) sync(disk, at(time));
    auto& volume = *writer_->volume();
    EXPECT_EQ(volume.find("latest")->number, 3u);
    EXPECT_EQ(volume.find("2")->number, 2u);
    EXPECT_EQ(volume.find("1970-01-01T00:40Z")->number, 2u);
    EXPECT_EQ(volume.find("1970-01-01T00:10Z").error().code, ENOENT);
    EXPECT_EQ(volume.find("7").error().code, ENOENT);
    EXPECT_EQ(volume.find("yesterday").error().code, ENOENT);
}

TEST_F(Volumes, pruning_frees_what_only_the_pruned_had_and_keeps_the_rest) {
    make();
    auto disk = random_disk(8 << 20);
    std::vector<std::vector<std::byte>> states;
    std::mt19937_64 draw(5);
    for (int i = 0; i < 5; ++i) {
        test::fill_randomly(std::span(disk).subspan(static_cast<size_t>(i) << 20, 2 << 20), draw);
        sync(disk);
        states.push_back(disk);
    }
    uint64_t before = data_bytes();
    auto held = writer_->volume()->open_generation(*writer_->volume()->find("3"));
    for (uint32_t number : {2u, 3u}) ASSERT_TRUE(writer_->prune(number));
    EXPECT_LT(data_bytes(), before - (1 << 20));
    std::vector<std::byte> bytes(4096);
    EXPECT_EQ(engine_.read(**held, 0, bytes).error().code, ESTALE);
    for (uint32_t number : {1u, 4u, 5u}) EXPECT_EQ(test::read_generation(*writer_->volume(), number), states[number - 1]) << number;
    EXPECT_EQ(writer_->volume()->find("3").error().code, ENOENT);
    // What changed between 1 and 4 is still known.
    auto changed = writer_->volume()->changed(1, 4);
    for (uint64_t block = 0; block < disk.size() >> 16; ++block) {
        bool same = std::memcmp(&states[0][block << 16], &states[3][block << 16], 1 << 16) == 0;
        EXPECT_TRUE(same || changed->contains(block)) << block;
    }
    EXPECT_EQ(writer_->prune(5).error().code, EINVAL);
    ASSERT_TRUE(writer_->set_pinned(4, true));
    EXPECT_EQ(writer_->prune(4).error().code, EINVAL);
}

TEST_F(Volumes, verifying_finds_a_changed_byte_and_says_where) {
    make();
    auto disk = random_disk(4 << 20);
    sync(disk);
    auto& volume = *writer_->volume();
    auto good = verify_generation(volume, *volume.find("1"), {});
    ASSERT_TRUE(good) << good.error().message;
    EXPECT_EQ(good->verdict(), Verdict::good);
    EXPECT_EQ(good->blocks, 64u);
    std::string file = volume.paths().data_file(1);
    auto bytes = test::read_file(file);
    auto at = std::search(bytes.begin(), bytes.end(), disk.begin() + (1 << 20), disk.begin() + (1 << 20) + 64);
    ASSERT_NE(at, bytes.end());
    *at ^= std::byte{1};
    std::fstream(file, std::ios::in | std::ios::out | std::ios::binary)
        .seekp(at - bytes.begin())
        .write(reinterpret_cast<const char*>(&*at), 1);
    auto report = verify_generation(volume, *volume.find("1"), {});
    ASSERT_TRUE(report);
    EXPECT_EQ(report->verdict(), Verdict::corrupt);
    ASSERT_EQ(report->bad.size(), 1u);
    EXPECT_EQ(report->bad[0].offset, 1u << 20);
    EXPECT_EQ(report->bad[0].length, 64u << 10);
    std::vector<std::byte> read(4096);
    auto source = volume.open_generation(*volume.find("1"));
    EXPECT_EQ(engine_.read(**source, (1 << 20) + 8192, read).error().code, EIO);
    EXPECT_TRUE(engine_.read(**source, 2 << 20, read));
}

TEST_F(Volumes, an_interrupted_sync_goes_on_where_it_stopped) {
    make();
    auto disk = random_disk(16 << 20);
    auto told = std::make_shared<ToldChanges>("a", "", std::vector<ChangedRun>{});
    uint64_t done = 0;
    SyncOptions options;
    options.threads = 1;
    options.done = [&](uint64_t bytes) { done += bytes; };
    options.stop = [&] { return done >= (8 << 20); };
    auto stopped = try_sync(disk, options, told);
    ASSERT_FALSE(stopped);
    EXPECT_EQ(stopped.error().code, ECANCELED);
    EXPECT_TRUE(writer_->volume()->generations()->empty());
    reopen();
    auto report = sync(disk, {}, told);
    EXPECT_TRUE(report.resumed);
    EXPECT_EQ(report.counts.read_bytes, disk.size() - (8 << 20));
    EXPECT_EQ(test::read_generation(*writer_->volume(), 1), disk);
    EXPECT_EQ(hex(report.generation.root), hex(test::root_of_bytes(disk)));
}

TEST_F(Volumes, what_an_interrupted_sync_left_does_not_show_in_the_next_one_of_another_state) {
    make();
    auto first = random_disk(8 << 20, 1), second = random_disk(8 << 20, 2);
    sync(first);
    uint64_t done = 0;
    SyncOptions options;
    options.threads = 1;
    options.done = [&](uint64_t bytes) { done += bytes; };
    options.stop = [&] { return done >= (4 << 20); };
    EXPECT_FALSE(try_sync(second, options));
    reopen();
    first[100] ^= std::byte{4};
    auto report = sync(first);
    EXPECT_EQ(test::read_generation(*writer_->volume(), 2), first);
    EXPECT_EQ(hex(report.generation.root), hex(test::root_of_bytes(first)));
}

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

TEST_F(Volumes, blocks_that_an_older_generation_has_can_be_referred_to) {
    for (uint32_t block_bytes : {4u << 10, 64u << 10}) {
        make(block_bytes);
        auto first = random_disk(2 << 20), second = first;
        std::fill_n(first.begin() + (1 << 20), 300000, std::byte{'a'});  // packed
        std::mt19937_64 draw(3);
        test::fill_randomly(std::span(second).subspan(100000, 1700000), draw);
        sync(first);
        sync(second);
        BlockRuns all;
        all.add(0, divide_up(first.size(), block_bytes));
        StoreOptions options;
        options.refer_to = 1;
        auto counts = store_blocks(*writer_, *test::disk_of(engine_, first), all, std::nullopt, options);
        ASSERT_TRUE(counts) << counts.error().message;
        EXPECT_GT(counts->different_bytes, 1u << 20);
        EXPECT_EQ(counts->stored_bytes, 0u);
        auto made = writer_->commit({.size_bytes = first.size(), .time = 3, .origin = {}, .draft_id = ""});
        ASSERT_TRUE(made);
        EXPECT_EQ(hex(made->root), hex(test::root_of_bytes(first)));
        // What is referred to stays as long as somebody refers to it.
        for (uint32_t number : {1, 2}) ASSERT_TRUE(writer_->prune(number)) << number;
        EXPECT_TRUE(test::read_generation(*writer_->volume(), 3) == first);
        writer_ = nullptr;
        RepairOptions rebuild;
        rebuild.rebuild_index = true;
        auto repaired = repair_volume(engine_, path_, rebuild);
        ASSERT_TRUE(repaired) << repaired.error().message;
        EXPECT_TRUE(repaired->lost.empty());
        reopen();
        EXPECT_TRUE(test::read_generation(*writer_->volume(), 3) == first);
        sync(second);
        uint64_t before = data_bytes();
        ASSERT_TRUE(writer_->prune(3));
        EXPECT_LT(data_bytes(), before - (1 << 20));
        EXPECT_TRUE(test::read_generation(*writer_->volume(), 4) == second);
    }
}

class Drafts : public Volumes {
  protected:
    std::unique_ptr<VolumeDraft> must_open() {
        writer_ = nullptr;
        auto draft = VolumeDraft::open(engine_, path_, nullptr);
        EXPECT_TRUE(draft) << draft.error().message;
        return draft ? std::move(*draft) : nullptr;
    }
    static void must_write(VolumeDraft& draft, std::span<std::byte> disk, uint64_t offset, uint64_t length, std::mt19937_64& draw) {
        test::fill_randomly(disk.subspan(offset, length), draw);
        auto written = write(*draft.disk(), offset, std::span<const std::byte>(disk.subspan(offset, length)), false);
        ASSERT_TRUE(written) << written.error().message;
    }
};

TEST_F(Drafts, what_was_written_becomes_a_generation) {
    for (uint32_t block_bytes : {4u << 10, 64u << 10, 1u << 20}) {
        make(block_bytes);
        auto disk = random_disk(3 << 20);
        auto before = disk;
        sync(disk);
        std::mt19937_64 draw(2);
        auto draft = must_open();
        for (auto [offset, length] : {std::pair{100, 1000}, {1 << 20, 200000}, {(3 << 20) - 513, 513}}) must_write(*draft, disk, offset, length, draw);
        ASSERT_TRUE(draft->disk()->zero(2 << 20, 300000, false, false));
        std::fill_n(disk.begin() + (2 << 20), 300000, std::byte{0});
        EXPECT_TRUE(test::read_all(*draft->disk()->source()) == disk);
        auto generation = draft->commit({});
        ASSERT_TRUE(generation) << generation.error().message;
        ASSERT_TRUE(*generation);
        EXPECT_EQ(hex((*generation)->root), hex(test::root_of_bytes(disk)));
        draft = nullptr;
        reopen();
        EXPECT_TRUE(test::read_generation(*writer_->volume(), 1) == before);
        EXPECT_TRUE(test::read_generation(*writer_->volume(), 2) == disk);
        EXPECT_EQ(*find_draft(*writer_), DraftFound::none);
    }
}

TEST_F(Drafts, are_found_again_and_keep_syncs_away) {
    make();
    auto disk = random_disk(1 << 20);
    sync(disk);
    std::mt19937_64 draw(2);
    auto draft = must_open();
    must_write(*draft, disk, 5000, 70000, draw);
    ASSERT_TRUE(draft->disk()->flush());
    EXPECT_EQ(VolumeWriter::open(engine_, path_).error().code, EBUSY);
    draft = nullptr;
    reopen();
    EXPECT_EQ(try_sync(disk).error().code, EBUSY);
    draft = must_open();
    EXPECT_TRUE(test::read_all(*draft->disk()->source()) == disk);
    ASSERT_TRUE(draft->discard());
    draft = nullptr;
    reopen();
    EXPECT_TRUE(try_sync(disk));
}

TEST_F(Drafts, that_were_committed_when_the_process_was_killed_are_gone) {
    make();
    auto disk = random_disk(1 << 20);
    sync(disk);
    std::mt19937_64 draw(2);
    auto draft = must_open();
    must_write(*draft, disk, 5000, 70000, draw);
    ASSERT_TRUE(draft->disk()->flush());
    std::filesystem::copy(path_ + "/draft", scratch_.path("kept"), std::filesystem::copy_options::recursive);
    ASSERT_TRUE(draft->commit({}));
    draft = nullptr;
    std::filesystem::rename(scratch_.path("kept"), path_ + "/draft");
    draft = must_open();
    EXPECT_TRUE(test::read_all(*draft->disk()->source()) == disk);
    auto committed = draft->commit({});
    ASSERT_TRUE(committed);
    EXPECT_FALSE(*committed);
}

TEST_F(Drafts, to_which_nothing_was_written_go_away) {
    make();
    auto disk = random_disk(1 << 20);
    sync(disk);
    must_open();
    reopen();
    EXPECT_EQ(*find_draft(*writer_), DraftFound::nothing_written);
    EXPECT_EQ(*find_draft(*writer_), DraftFound::none);
    must_open();
    reopen();
    EXPECT_TRUE(try_sync(disk));
    auto draft = must_open();
    ASSERT_TRUE(draft);
    auto committed = draft->commit({});
    ASSERT_TRUE(committed);
    EXPECT_FALSE(*committed);
    EXPECT_FALSE(std::filesystem::exists(path_ + "/draft/map"));
}

TEST_F(Drafts, that_are_damaged_are_not_taken_for_empty) {
    make();
    auto disk = random_disk(1 << 20);
    sync(disk);
    must_open();
    std::filesystem::resize_file(path_ + "/draft/map", 50);
    reopen();
    EXPECT_EQ(*find_draft(*writer_), DraftFound::written);
    EXPECT_TRUE(std::filesystem::exists(path_ + "/draft/map"));
}

TEST_F(Drafts, overlays_are_private_and_leave_nothing) {
    make();
    auto disk = random_disk(1 << 20);
    sync(disk);
    auto base = writer_->volume()->open_generation(*writer_->volume()->find("1"));
    auto names = [&] { return std::distance(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator()); };
    auto before = names();
    {
        auto one = open_overlay(engine_, path_, *base), other = open_overlay(engine_, path_, *base);
        ASSERT_TRUE(one && other);
        std::vector<std::byte> bytes(100, std::byte{7});
        ASSERT_TRUE(write(**one, 12345, bytes, false));
        EXPECT_TRUE(test::read_all(*(*other)->source()) == disk);
        auto changed = disk;
        std::fill_n(changed.begin() + 12345, 100, std::byte{7});
        EXPECT_TRUE(test::read_all(*(*one)->source()) == changed);
    }
    EXPECT_EQ(names(), before);
    EXPECT_TRUE(test::read_generation(*writer_->volume(), 1) == disk);
}

}  // namespace
}  // namespace hyper
