// SPDX-License-Identifier: Apache-2.0
// Images whose file is far away: read through the formats and the engine as if it were here.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "blockengine/fetch/fetcher.h"
#include "convert/image.h"
#include "tests/support/fake_remote.h"
#include "tests/support/support.h"

namespace hyper {
namespace {

// Threads that do what they are given, in no order. One pool for all, since the last answer to a remote may end it.
class Pool {
  public:
    Pool() {
        for (auto& thread : threads_) thread = std::thread([this] { run(); });
    }
    ~Pool() {
        {
            std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        changed_.notify_all();
        for (auto& thread : threads_) thread.join();
    }
    void submit(std::function<void()> work) {
        std::lock_guard lock(mutex_);
        queue_.push_back(std::move(work));
        changed_.notify_one();
    }

  private:
    void run() {
        std::unique_lock lock(mutex_);
        for (;;) {
            changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
            if (queue_.empty()) return;
            auto work = std::move(queue_.back());
            queue_.pop_back();
            lock.unlock();
            work();
            work = nullptr;
            lock.lock();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> queue_;
    bool stopping_ = false;
    std::thread threads_[3];
};

Pool& pool() {
    static Pool threads;
    return threads;
}

// A local file as a remote that answers from other threads, in any order.
class FileRemote : public Remote {
  public:
    explicit FileRemote(const std::string& path) : file_(*File::open(path, test::engine().io())), name_("far://" + path) {}
    uint64_t size_bytes() const override { return file_->size_bytes(); }
    const std::string& name() const override { return name_; }
    const std::string& identity() const override { return identity_; }
    uint32_t request_bytes_min() const override { return 1; }
    uint32_t request_bytes_max() const override { return 1 << 20; }
    uint32_t requests_max() const override { return 8; }
    Run next_data(uint64_t offset, uint64_t end) const override {
        auto run = file_->next_data(offset, end);
        return {run.start, run.stop};
    }
    void read(uint64_t offset, uint32_t length, Done done) const override {
        ++requests;
        pool().submit([file = file_, offset, length, done = std::move(done)] {
            auto bytes = std::make_shared<Bytes>(length);
            auto read = file->read(offset, *bytes);
            if (read)
                done(std::move(bytes));
            else
                done(tl::unexpected(read.error()));
        });
    }
    mutable std::atomic<size_t> requests = 0;

  private:
    const std::shared_ptr<const File> file_;
    const std::string name_, identity_;
};

struct Made {
    const char* name;
    const char* options;
    const char* suffix;
    Format format;
};
constexpr Made made_images[] = {{"raw", "-O raw", "raw", Format::raw},
                                {"qcow2", "-O qcow2", "qcow2", Format::qcow2},
                                {"qcow2 compressed", "-c -O qcow2", "qcow2", Format::qcow2},
                                {"qcow2 zstd", "-c -O qcow2 -o compression_type=zstd", "qcow2", Format::qcow2},
                                {"vmdk", "-O vmdk", "vmdk", Format::vmdk},
                                {"vmdk stream", "-O vmdk -o subformat=streamOptimized", "vmdk", Format::vmdk},
                                {"vhd", "-O vpc", "vhd", Format::vhd},
                                {"vhdx", "-O vhdx", "vhdx", Format::vhdx}};

class FarImage : public testing::Test {
  protected:
    std::shared_ptr<const Image> open(const std::shared_ptr<const Remote>& remote, Format format) {
        auto image = open_image(test::engine(), open_far(remote, test::engine().io(), std::make_shared<FetchShare>()), options(format));
        EXPECT_TRUE(image) << image.error().message;
        return image ? *image : nullptr;
    }
    OpenOptions options(Format format) const {
        OpenOptions made;
        made.format = format;
        made.allowed_dirs = {scratch_.dir().string()};
        return made;
    }
    test::ScratchDir scratch_;
};

TEST_F(FarImage, of_each_format_reads_as_the_local_one) {
    auto disk = test::pattern(24 * MiB + 512, test::random_runs(24 * MiB, 16 * KiB, 0.4, 11));
    std::string raw = scratch_.path("disk");
    test::write_sparse(*disk, raw);
    for (const Made& made : made_images) {
        SCOPED_TRACE(made.name);
        std::string path = scratch_.path(std::string("image.") + made.suffix);
        test::must_run(std::string("qemu-img convert -f raw ") + made.options + " " + raw + " " + path);
        auto remote = std::make_shared<FileRemote>(path);
        auto image = open(remote, made.format);
        ASSERT_TRUE(image);
        test::expect_same_content(*disk, *image);
        test::expect_consistent_reads(*image, 5);
        EXPECT_GT(remote->requests, 0u);
    }
}

TEST_F(FarImage, tells_the_holes_that_its_remote_tells) {
    auto disk = test::pattern(64 * MiB, {{MiB, 65536}, {40 * MiB, MiB}});
    test::write_sparse(*disk, scratch_.path("disk"));
    auto image = open(std::make_shared<FileRemote>(scratch_.path("disk")), Format::raw);
    std::vector<std::pair<uint64_t, bool>> extents;
    ASSERT_TRUE(visit_extents(*image, 0, 64 * MiB, [&](const Extent& extent) {
        extents.emplace_back(extent.length, extent.zero);
        return true;
    }));
    EXPECT_EQ(extents, (std::vector<std::pair<uint64_t, bool>>{
                           {MiB, true}, {65536, false}, {39 * MiB - 65536, true}, {MiB, false}, {23 * MiB, true}}));
}

TEST_F(FarImage, is_not_followed_to_a_backing_file) {
    std::string base = scratch_.path("base.qcow2"), path = scratch_.path("disk.qcow2");
    test::must_run("qemu-img create -q -f qcow2 " + base + " 1M && qemu-img create -q -f qcow2 -F qcow2 -b " + base + " " + path);
    auto file = open_far(std::make_shared<FileRemote>(path), test::engine().io(), std::make_shared<FetchShare>());
    auto image = open_image(test::engine(), file, options(Format::qcow2));
    ASSERT_FALSE(image);
    EXPECT_EQ(image.error().code, EPERM);
    EXPECT_NE(image.error().message.find("has to be whole in itself"), std::string::npos) << image.error().message;
}

TEST_F(FarImage, is_read_by_local_and_far_ranges_of_one_request) {
    test::write_sparse(*test::pattern(4 * MiB, {{0, 4 * MiB}}), scratch_.path("disk"));
    auto local = *File::open(scratch_.path("disk"), test::engine().io());
    auto far = open_far(std::make_shared<FileRemote>(scratch_.path("disk")), test::engine().io(), std::make_shared<FetchShare>());
    class Mixed : public Source {
      public:
        Mixed(std::shared_ptr<const File> a, std::shared_ptr<const File> b) : files_{std::move(a), std::move(b)} {}
        uint64_t size_bytes() const override { return 4 * MiB; }
        Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override {
            for (uint64_t end = offset + length; offset < end && !out.full();) {
                uint64_t step = std::min(end - offset, 10'000 - offset % 10'000);
                out.file(files_[offset / 10'000 % 2], offset, step);
                offset += step;
            }
            return {};
        }

      private:
        std::shared_ptr<const File> files_[2];
    };
    EXPECT_EQ(test::read_all(Mixed(local, far)), test::read_all(FileSource(local)));
}

TEST_F(FarImage, that_is_fragmented_has_all_ranges_of_a_request_under_way_together) {
    class Scattered : public Source {
      public:
        explicit Scattered(std::shared_ptr<const File> file) : file_(std::move(file)) {}
        uint64_t size_bytes() const override { return MiB; }
        Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override {
            for (uint64_t end = offset + length; offset < end; offset += 65536) out.file(file_, offset * 53 % (60 * MiB), 65536);
            return {};
        }

      private:
        std::shared_ptr<const File> file_;
    };
    auto remote = std::make_shared<test::FakeRemote>();
    Scattered source(open_far(remote, test::engine().io(), std::make_shared<FetchShare>()));
    std::thread answers([&] {
        remote->wait_for(16);
        remote->answer_all();
    });
    EXPECT_EQ(test::read_all(source).size(), MiB);
    answers.join();
}

TEST_F(FarImage, that_is_prefetched_is_asked_for_at_once) {
    test::write_sparse(*test::pattern(4 * MiB, {{0, 4 * MiB}}), scratch_.path("disk"));
    auto remote = std::make_shared<FileRemote>(scratch_.path("disk"));
    auto image = open(remote, Format::raw);
    EXPECT_TRUE(prefetch(*image, MiB, 2 * MiB));
    EXPECT_GT(remote->requests, 0u);
}

}  // namespace
}  // namespace hyper
