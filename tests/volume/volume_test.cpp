// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/volume.h"

#include <sys/stat.h>

#include <cstring>
#include <fstream>

#include "blockengine/base/hex.h"
#include "blockengine/volume/repair.h"
#include "tests/volume/fixture.h"

namespace hyper {
namespace {

using test::ToldChanges;
using Volumes = test::VolumeTest;

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

}  // namespace
}  // namespace hyper
