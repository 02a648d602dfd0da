// SPDX-License-Identifier: Apache-2.0
// Drafts of volumes, from the first write to the generation.
#include "blockengine/volume/volume_draft.h"

#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <functional>

#include "blockengine/base/hex.h"
#include "tests/support/faulty_io.h"
#include "tests/volume/fixture.h"

namespace hyper {
namespace {



class Drafts : public test::VolumeTest {
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

TEST_F(Drafts, become_generations_while_they_are_written) {
    // So large that what is written meanwhile is stored in several rounds, and small.
    for (auto [block_bytes, disk_bytes] : {std::pair{4u << 10, 3u << 20}, {64u << 10, 3u << 20}, {1u << 20, 40u << 20}}) {
        make(block_bytes);
        auto disk = random_disk(disk_bytes);
        std::vector<std::vector<std::byte>> generations{disk};
        sync(disk);
        std::mt19937_64 draw(2);
        auto draft = must_open();
        auto source = draft->disk()->source();
        must_write(*draft, disk, 0, disk_bytes / 2, draw);
        for (unsigned number = 2; number <= 4; ++number) {
            StoreOptions options;
            unsigned parts = 0;
            options.done = [&](uint64_t) {
                uint64_t length = parts++ == 0 ? disk_bytes / 2 : 20000;
                must_write(*draft, disk, draw() % (disk_bytes - length), length, draw);
                uint64_t zeros = draw() % (disk_bytes - 70000);
                ASSERT_TRUE(draft->disk()->zero(zeros, 70000, false, false));
                std::fill_n(disk.begin() + static_cast<ptrdiff_t>(zeros), 70000, std::byte{0});
            };
            auto made = draft->commit_while_written(options);
            ASSERT_TRUE(made) << made.error().message;
            ASSERT_TRUE(*made);
            EXPECT_EQ((*made)->number, number);
            EXPECT_EQ(hex((*made)->root), hex(test::root_of_bytes(disk)));
            EXPECT_TRUE(test::read_all(*source) == disk);
            generations.push_back(disk);
            must_write(*draft, disk, draw() % 100000, 50000, draw);
            EXPECT_TRUE(test::read_all(*source) == disk);
        }
        ASSERT_TRUE(draft->disk()->flush());
        source = nullptr;
        draft = nullptr;
        reopen();
        for (unsigned number = 1; number <= 4; ++number)
            EXPECT_TRUE(test::read_generation(*writer_->volume(), number) == generations[number - 1]) << number;
        draft = must_open();
        EXPECT_TRUE(test::read_all(*draft->disk()->source()) == disk);
        EXPECT_FALSE(std::filesystem::exists(path_ + "/draft.next"));
    }
}

TEST_F(Drafts, to_which_nothing_was_written_stay_while_somebody_has_them) {
    make();
    auto disk = random_disk(1 << 20);
    sync(disk);
    std::mt19937_64 draw(2);
    auto draft = must_open();
    auto made = draft->commit_while_written({});
    ASSERT_TRUE(made);
    EXPECT_FALSE(*made);
    must_write(*draft, disk, 5000, 70000, draw);
    EXPECT_TRUE(draft->disk()->flush());
    draft = nullptr;
    draft = must_open();
    EXPECT_TRUE(test::read_all(*draft->disk()->source()) == disk);
}

// Calls what it was given before each write and sync.
class SteppedIo : public test::PassingIo {
  public:
    void write(std::span<WriteOp> ops) override {
        step();
        PassingIo::write(ops);
    }
    int sync(int fd) override {
        step();
        return PassingIo::sync(fd);
    }
    std::function<void()> before;

  private:
    void step() {
        if (before) before();
    }
};

TEST_F(Drafts, that_are_committed_while_they_are_written_survive_a_kill_at_any_instant) {
    make();
    auto disk = random_disk(1 << 20);
    sync(disk);
    writer_ = nullptr;
    auto stepped = std::make_unique<SteppedIo>();
    SteppedIo& io = *stepped;
    Engine engine(std::move(stepped));
    unsigned copies = 0, with_generation = 0;
    std::vector<std::byte> flushed;
    auto check = [&] {
        std::string copy = scratch_.path(std::to_string(++copies) + ".volume");
        std::filesystem::copy(path_, copy, std::filesystem::copy_options::recursive);
        {
            auto found = VolumeDraft::open(engine_, copy, nullptr);
            ASSERT_TRUE(found) << found.error().message;
            EXPECT_TRUE(test::read_all(*(*found)->disk()->source()) == flushed) << "copy " << copies;
        }
        auto volume = Volume::open(engine_, copy);
        ASSERT_TRUE(volume);
        if ((*volume)->find("2")) {
            ++with_generation;
            EXPECT_TRUE(test::read_generation(**volume, 2) == flushed) << "copy " << copies;
        }
        std::filesystem::remove_all(copy);
    };
    {
        std::mt19937_64 draw(2);
        auto draft = VolumeDraft::open(engine, path_, nullptr);
        ASSERT_TRUE(draft) << draft.error().message;
        auto write_and_flush = [&](uint64_t offset, uint64_t length) {
            io.before = nullptr;
            must_write(**draft, disk, offset, length, draw);
            ASSERT_TRUE((*draft)->disk()->flush());
            flushed = disk;
            io.before = check;
        };
        write_and_flush(5000, 300000);
        StoreOptions options;
        options.threads = 1;
        options.done = [&](uint64_t) { write_and_flush(100000, 300000); };
        ASSERT_TRUE((*draft)->commit_while_written(options));
        io.before = nullptr;
    }
    check();
    EXPECT_GT(copies, 10u);
    EXPECT_GT(with_generation, 1u);
    EXPECT_LT(with_generation, copies);
}

// The generation may be there or not, so nothing may go into a draft that could be taken for committed.
TEST_F(Drafts, take_no_writes_once_the_end_of_a_commit_has_failed) {
    make();
    auto disk = random_disk(1 << 20);
    sync(disk);
    std::mt19937_64 draw(2);
    auto draft = must_open();
    must_write(*draft, disk, 5000, 300000, draw);
    // Where the text of `latest` is prepared.
    std::string latest = path_ + "/latest.new";
    ASSERT_TRUE(std::filesystem::create_directory(latest));
    EXPECT_FALSE(draft->commit_while_written({}));
    std::byte byte{};
    EXPECT_FALSE(write(*draft->disk(), 0, {&byte, 1}, false));
    EXPECT_FALSE(draft->disk()->flush());
    EXPECT_TRUE(test::read_all(*draft->disk()->source()) == disk);
    std::filesystem::remove(latest);
    draft = nullptr;
    draft = must_open();
    EXPECT_TRUE(test::read_all(*draft->disk()->source()) == disk);
    ASSERT_TRUE(draft->commit_while_written({}));
    EXPECT_TRUE(write(*draft->disk(), 0, {&byte, 1}, false));
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
    for (bool while_written : {false, true}) {
        make();
        auto disk = random_disk(1 << 20);
        sync(disk);
        std::mt19937_64 draw(2);
        auto draft = must_open();
        must_write(*draft, disk, 5000, 70000, draw);
        ASSERT_TRUE(draft->disk()->flush());
        std::filesystem::copy(path_ + "/draft", scratch_.path("kept"), std::filesystem::copy_options::recursive);
        ASSERT_TRUE(while_written ? draft->commit_while_written({}) : draft->commit({}));
        draft = nullptr;
        if (while_written) std::filesystem::rename(path_ + "/draft", path_ + "/draft.next");
        std::filesystem::rename(scratch_.path("kept"), path_ + "/draft");
        draft = must_open();
        ASSERT_TRUE(draft);
        EXPECT_TRUE(test::read_all(*draft->disk()->source()) == disk);
        EXPECT_FALSE(std::filesystem::exists(path_ + "/draft.next"));
        auto committed = draft->commit({});
        ASSERT_TRUE(committed);
        EXPECT_FALSE(*committed);
        draft = nullptr;
    }
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
