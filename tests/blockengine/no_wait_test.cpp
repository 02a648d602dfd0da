// SPDX-License-Identifier: Apache-2.0
// Reads that do not wait: what is not in memory is EAGAIN, all the way up through each format.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "blockengine/engine.h"
#include "convert/image.h"
#include "tests/support/faulty_io.h"
#include "tests/support/support.h"

namespace hyper {
namespace {

// A disk that has to be waited for, while `cold`.
class ColdIo : public test::PassingIo {
  public:
    explicit ColdIo(std::shared_ptr<std::atomic<bool>> cold) : cold_(std::move(cold)) {}
    void read(std::span<ReadOp> ops) override {
        if (!*cold_) return PassingIo::read(ops);
        for (ReadOp& op : ops) op.error = EAGAIN;
    }

  private:
    std::shared_ptr<std::atomic<bool>> cold_;
};

// Pieces as text, to be compared.
std::string text_of(const PieceList& pieces) {
    std::string text;
    for (const Piece& piece : pieces.pieces()) {
        text += fmt::format("{} bytes of layer {}: kind {}", piece.length, piece.depth,
                            piece.what.index());
        if (auto* range = std::get_if<FileRange>(&piece.what))
            text += fmt::format(" at {}", range->offset);
        if (auto* packed = std::get_if<CompressedRange>(&piece.what))
            text += fmt::format(" at {}", packed->offset);
        text += "\n";
    }
    return text;
}

Result<std::string> mapped(const Source& source) {
    PieceList pieces;
    TRY(source.map(0, source.size_bytes(), pieces));
    return text_of(pieces);
}

class NoWaitTest : public testing::Test {
  protected:
    // A disk with some data, and an image of it that is opened, but of which nothing else was read.
    void open(const std::string& options, const std::string& suffix) {
        std::string raw = scratch_.path("raw"), path = scratch_.path("disk." + suffix);
        test::write_sparse(*test::pattern(8 << 20, {{65536, 131072}, {3 << 20, 70000}}), raw);
        test::must_run("qemu-img convert -f raw " + options + " " + raw + " " + path);
        if (suffix == "qcow2") {
            std::filesystem::rename(path, scratch_.path("base.qcow2"));
            test::must_run("cd " + scratch_.dir().string() +
                           " && qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 disk.qcow2" +
                           " && qemu-io -c 'write 1M 64k' disk.qcow2");
        }
        engine_ = std::make_unique<Engine>(std::make_unique<ColdIo>(cold_));
        auto image = open_image(*engine_, path);
        ASSERT_TRUE(image) << image.error().message;
        image_ = *image;
    }

    test::ScratchDir scratch_;
    std::shared_ptr<std::atomic<bool>> cold_ = std::make_shared<std::atomic<bool>>(false);
    std::unique_ptr<Engine> engine_;
    std::shared_ptr<const Image> image_;
};

struct Made {
    const char* name;
    const char* options;
    const char* suffix;
};
constexpr Made cached_tables[] = {{"qcow2", "-O qcow2", "qcow2"},
                                  {"qcow2 compressed", "-c -O qcow2", "qcow2"},
                                  {"vmdk", "-O vmdk", "vmdk"},
                                  {"vhd", "-O vpc", "vhd"},
                                  {"vhdx", "-O vhdx", "vhdx"}};

TEST_F(NoWaitTest, cold_tables_are_eagain_and_give_the_same_pieces_when_they_are_warm) {
    for (const Made& made : cached_tables) {
        SCOPED_TRACE(made.name);
        open(made.options, made.suffix);
        ASSERT_TRUE(image_);
        *cold_ = true;
        auto cold = mapped(*image_);
        ASSERT_FALSE(cold);
        EXPECT_EQ(cold.error().code, EAGAIN) << cold.error().message;
        *cold_ = false;
        auto waited = mapped(*image_);
        ASSERT_TRUE(waited) << waited.error().message;
        *cold_ = true;
        auto warm = mapped(*image_);
        ASSERT_TRUE(warm) << warm.error().message;
        EXPECT_EQ(*warm, *waited);
        *cold_ = false;
    }
}

TEST_F(NoWaitTest, the_markers_of_compressed_grains_are_eagain) {
    open("-O vmdk -o subformat=streamOptimized", "vmdk");
    ASSERT_TRUE(image_);
    ASSERT_TRUE(mapped(*image_));
    *cold_ = true;
    auto cold = mapped(*image_);
    ASSERT_FALSE(cold);
    EXPECT_EQ(cold.error().code, EAGAIN) << cold.error().message;
}

TEST_F(NoWaitTest, cold_data_is_eagain) {
    for (const Made& made : cached_tables) {
        SCOPED_TRACE(made.name);
        open(made.options, made.suffix);
        ASSERT_TRUE(image_);
        ASSERT_TRUE(mapped(*image_));
        std::vector<std::byte> buffer(4096);
        *cold_ = true;
        auto cold = engine_->read(*image_, 65536, buffer);
        ASSERT_FALSE(cold);
        EXPECT_EQ(cold.error().code, EAGAIN) << cold.error().message;
        *cold_ = false;
        ASSERT_TRUE(engine_->read(*image_, 65536, buffer));
        std::vector<std::byte> expected(4096);
        ASSERT_TRUE(
            test::engine().read(*test::pattern(8 << 20, {{65536, 131072}}), 65536, expected));
        EXPECT_EQ(buffer, expected);
    }
}

// With real files. What a file system that cannot tell answers, as those in memory do, is EAGAIN
// too.
class NoWaitIo : public testing::Test {
  protected:
    void SetUp() override {
        test::write_file(scratch_.path("file"), std::vector<std::byte>(1 << 20, std::byte{0x5a}));
        auto file = File::open(scratch_.path("file"), *io_);
        ASSERT_TRUE(file);
        file_ = *file;
        // Only what is on the disk leaves the page cache.
        ASSERT_EQ(::fsync(file_->fd()), 0);
        ASSERT_EQ(::posix_fadvise(file_->fd(), 0, 0, POSIX_FADV_DONTNEED), 0);
    }
    int read_error(size_t bytes = 65536) {
        std::vector<std::byte> buffer(bytes);
        auto result = file_->read(0, buffer);
        return result ? 0 : result.error().code;
    }

    test::ScratchDir scratch_;
    std::unique_ptr<Io> io_ = make_system_io();
    std::shared_ptr<const File> file_;
};

TEST_F(NoWaitIo, what_is_not_in_memory_is_eagain_until_somebody_waited_for_it) {
    {
        NoWait no_wait;
        EXPECT_EQ(read_error(), EAGAIN);
    }
    EXPECT_EQ(read_error(), 0);
    NoWait no_wait;
    EXPECT_EQ(read_error(), 0);
}

TEST_F(NoWaitIo, a_batch_does_not_wait_either) {
    std::vector<std::byte> a(4096), b(4096);
    ReadOp ops[2] = {{file_->fd(), 0, a, 0}, {file_->fd(), 524288, b, 0}};
    NoWait no_wait;
    io_->read(ops);
    EXPECT_EQ(ops[0].error, EAGAIN);
    EXPECT_EQ(ops[1].error, EAGAIN);
}

TEST_F(NoWaitIo, the_end_of_a_file_is_left_to_who_may_wait) {
    ASSERT_EQ(read_error(), 0);
    std::filesystem::resize_file(scratch_.path("file"), 4096);
    NoWait no_wait;
    EXPECT_EQ(read_error(), EAGAIN);
}

TEST_F(NoWaitIo, one_within_another_holds_until_the_outer_ends) {
    NoWait outer;
    { NoWait inner; }
    EXPECT_EQ(read_error(), EAGAIN);
}

}  // namespace
}  // namespace hyper
