// SPDX-License-Identifier: Apache-2.0
#include "catalog/open_drafts.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <future>

#include "convert/volume/lazy.h"
#include "tests/support/faulty_io.h"
#include "tests/support/support.h"

namespace hyper {
namespace {

// Reads of one file wait until they are let go on.
class HangingIo : public test::PassingIo {
  public:
    explicit HangingIo(const std::string& path) {
        struct stat status {};
        EXPECT_EQ(::stat(path.c_str(), &status), 0);
        inode_ = status.st_ino;
    }
    void read(std::span<ReadOp> ops) override {
        std::unique_lock lock(mutex_);
        if (std::ranges::any_of(ops, [this](const ReadOp& op) { return is_it(op.fd); })) {
            ++waiting_;
            changed_.notify_all();
            changed_.wait(lock, [this] { return let_go_; });
        }
        lock.unlock();
        PassingIo::read(ops);
    }
    void wait_for_a_read() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return waiting_ > 0; });
    }
    void let_go() {
        std::lock_guard lock(mutex_);
        let_go_ = true;
        changed_.notify_all();
    }

  private:
    bool is_it(int fd) const {
        struct stat status {};
        return ::fstat(fd, &status) == 0 && status.st_ino == inode_;
    }

    ino_t inode_ = 0;
    std::mutex mutex_;
    std::condition_variable changed_;
    unsigned waiting_ = 0;  // guarded by mutex_
    bool let_go_ = false;   // guarded by mutex_
};

// Volumes without a generation, filled from images of 1 MiB.
class OpenDraftsTest : public testing::Test {
  protected:
    std::string make_lazy(const std::string& name) {
        std::string image = scratch_.path(name + ".qcow2"), folder = scratch_.path(name + ".volume");
        test::must_run("qemu-img create -q -f qcow2 " + image + " 1M");
        LazySource source;
        source.name = image;
        EXPECT_TRUE(identify_lazy_source(test::engine(), source, false));
        auto writer = VolumeWriter::create(test::engine(), folder, {});
        EXPECT_TRUE(writer) << writer.error().message;
        EXPECT_TRUE(VolumeDraft::begin_lazy(**writer, source));
        return folder;
    }

    test::ScratchDir scratch_;
};

TEST_F(OpenDraftsTest, a_source_that_hangs_holds_up_only_those_who_want_its_volume) {
    std::string slow = make_lazy("slow"), quick = make_lazy("quick");
    auto hanging = std::make_unique<HangingIo>(scratch_.path("slow.qcow2"));
    HangingIo& io = *hanging;
    Engine engine(std::move(hanging));
    OpenDrafts drafts(engine, false);
    auto open = [&](const std::string& folder) { return std::async(std::launch::async, [&] { return drafts.open(folder); }); };
    auto first = open(slow);
    io.wait_for_a_read();
    auto second = open(slow), other = open(quick);
    EXPECT_EQ(other.wait_for(std::chrono::seconds(60)), std::future_status::ready);
    io.let_go();
    auto one = first.get(), two = second.get(), three = other.get();
    ASSERT_TRUE(one && two && three);
    EXPECT_EQ(*one, *two);
    EXPECT_NE(*one, *three);
}

TEST_F(OpenDraftsTest, one_that_could_not_be_opened_is_tried_again) {
    std::string folder = make_lazy("disk");
    Engine engine(make_pread_io());
    OpenDrafts drafts(engine, false);
    std::filesystem::rename(scratch_.path("disk.qcow2"), scratch_.path("away"));
    EXPECT_EQ(drafts.open(folder).error().code, ENOENT);
    std::filesystem::rename(scratch_.path("away"), scratch_.path("disk.qcow2"));
    auto disk = drafts.open(folder);
    EXPECT_TRUE(disk) << disk.error().message;
}

}  // namespace
}  // namespace hyper
