// SPDX-License-Identifier: Apache-2.0
#include "blockengine/engine.h"

#include <fcntl.h>
#include <libdeflate.h>

#include <atomic>
#include <random>
#include <thread>

#include "blockengine/base/hex.h"
#include "tests/support/faulty_io.h"
#include "tests/support/support.h"

namespace hyper {
namespace {

using test::ScratchDir;

std::vector<std::byte> some_bytes(size_t count) {
    std::vector<std::byte> bytes(count);
    (void)test::pattern(count, {{0, count}})->produce(0, bytes);
    return bytes;
}

TEST(Engine, reads_a_file_and_its_padding) {
    auto bytes = some_bytes(100000);
    auto file = File::from_bytes(bytes, "memory", test::engine().io());
    ASSERT_TRUE(file);
    PaddedSource padded(std::make_shared<FileSource>(*file), 200000);
    auto read = test::read_all(padded);
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), read.begin()));
    EXPECT_TRUE(all_zero(std::span(read).subspan(bytes.size())));
}

TEST(Engine, refuses_a_range_past_the_end) {
    auto disk = test::pattern(1000, {{0, 1000}});
    std::vector<std::byte> buffer(2);
    auto result = test::engine().read(*disk, 999, buffer);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, EINVAL);
}

TEST(Engine, says_eio_when_a_file_was_truncated_while_it_is_held) {
    ScratchDir scratch;
    test::write_file(scratch.path("disk"), some_bytes(8192));
    auto file = File::open(scratch.path("disk"), test::engine().io());
    ASSERT_TRUE(file);
    std::filesystem::resize_file(scratch.path("disk"), 4096);
    std::vector<std::byte> buffer(8192);
    auto result = test::engine().read(FileSource(*file), 0, buffer);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, EIO);
    EXPECT_NE(result.error().message.find(scratch.path("disk")), std::string::npos) << result.error().message;
}

TEST(Engine, lets_io_uring_wait_for_a_file) {
    ScratchDir scratch;
    test::write_file(scratch.path("disk"), some_bytes(512));
    auto file = File::open(scratch.path("disk"), test::engine().io());
    ASSERT_TRUE(file);
    EXPECT_EQ(::fcntl((*file)->fd(), F_GETFL) & O_NONBLOCK, 0);
}

// Every other 4 KiB of a file, so that a large read is many pieces.
class StripedSource : public Source {
  public:
    explicit StripedSource(std::shared_ptr<const File> file) : file_(std::move(file)) {}
    uint64_t size_bytes() const override { return file_->size_bytes() / 2; }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override {
        for (uint64_t end = offset + length; offset < end && !out.full();) {
            uint64_t take = std::min(end - offset, 4096 - offset % 4096);
            out.file(file_, offset / 4096 * 8192 + offset % 4096, take);
            offset += take;
        }
        return {};
    }

  private:
    std::shared_ptr<const File> file_;
};

TEST(Engine, reports_the_failure_of_any_operation_of_a_batch) {
    auto io = std::make_unique<test::FaultyIo>();
    test::FaultyIo& faults = *io;
    Engine engine(std::move(io));
    auto file = File::from_bytes(some_bytes(128 * 1024), "memory", engine.io());
    ASSERT_TRUE(file);
    StripedSource source(*file);
    std::vector<std::byte> buffer(source.size_bytes());
    for (uint64_t nth = 0; nth < 16; ++nth) {
        faults.fail(test::Operation::read, nth);
        EXPECT_FALSE(engine.read(source, 0, buffer)) << "operation " << nth;
        EXPECT_TRUE(engine.read(source, 0, buffer));
    }
}

TEST(Engine, gives_the_same_bytes_by_io_uring_and_by_pread) {
    int why = 0;
    auto ring = make_uring_io(why);
    if (!ring) GTEST_SKIP() << "io_uring is not available: " << errno_text(why);
    Engine with_ring(std::move(ring)), with_pread(make_pread_io());
    auto file = File::from_bytes(some_bytes(4 << 20), "memory", with_ring.io());
    ASSERT_TRUE(file);
    StripedSource source(*file);
    std::vector<std::byte> a(source.size_bytes()), b(source.size_bytes());
    ASSERT_TRUE(with_ring.read(source, 0, a));
    ASSERT_TRUE(with_pread.read(source, 0, b));
    EXPECT_EQ(a, b);
}

// Breaks the contract of map(): answers for `covered` bytes, whatever it was asked.
class WrongSource : public Source {
  public:
    explicit WrongSource(uint64_t covered) : covered_(covered) {}
    uint64_t size_bytes() const override { return 4096; }
    Result<void> map(uint64_t, uint64_t, PieceList& out) const override {
        out.zeros(covered_);
        return {};
    }

  private:
    uint64_t covered_;
};

TEST(Engine, neither_hangs_nor_overruns_when_a_source_answers_for_too_little_or_too_much) {
    std::vector<std::byte> buffer(512);
    for (uint64_t covered : {0, 8192}) {
        WrongSource source(covered);
        EXPECT_FALSE(test::engine().read(source, 0, buffer)) << covered;
        EXPECT_FALSE(visit_extents(source, 0, 4096, [](const Extent&) { return true; })) << covered;
    }
}

// A file of zlib streams, each of which unpacks to 64 KiB.
class PackedSource : public Source {
  public:
    PackedSource(std::span<const std::byte> bytes, Engine& engine) : size_bytes_(bytes.size()) {
        auto* compressor = libdeflate_alloc_compressor(1);
        std::vector<std::byte> stored;
        for (size_t at = 0; at < bytes.size(); at += unit) {
            std::vector<std::byte> out(2 * unit);
            out.resize(libdeflate_zlib_compress(compressor, bytes.data() + at, unit, out.data(), out.size()));
            places_.push_back({stored.size(), out.size()});
            stored.insert(stored.end(), out.begin(), out.end());
        }
        libdeflate_free_compressor(compressor);
        file_ = *File::from_bytes(stored, "packed", engine.io());
    }
    uint64_t size_bytes() const override { return size_bytes_; }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override {
        for (uint64_t end = offset + length; offset < end && !out.full();) {
            auto [place, stored] = places_[offset / unit];
            auto skip = static_cast<uint32_t>(offset % unit);
            uint64_t take = std::min<uint64_t>(end - offset, unit - skip);
            out.compressed({file_, place, static_cast<uint32_t>(stored), unit, skip, Codec::zlib}, take);
            offset += take;
        }
        return {};
    }

  private:
    static constexpr uint32_t unit = 65536;
    uint64_t size_bytes_;
    std::vector<std::pair<uint64_t, uint64_t>> places_;
    std::shared_ptr<const File> file_;
};

TEST(Engine, gives_many_threads_the_right_bytes) {
    auto bytes = some_bytes(64 * 65536);
    PackedSource packed(bytes, test::engine());
    StripedSource striped(*File::from_bytes(bytes, "memory", test::engine().io()));
    auto expected = test::read_all(striped);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 8; ++t) {
        threads.emplace_back([&, t] {
            std::mt19937_64 random(t);
            std::vector<std::byte> buffer(300000);
            for (int round = 0; round < 60; ++round) {
                const Source& source = round % 2 == 0 ? static_cast<const Source&>(packed) : striped;
                const auto& model = round % 2 == 0 ? bytes : expected;
                size_t offset = random() % model.size();
                size_t length = std::min<size_t>(random() % buffer.size() + 1, model.size() - offset);
                std::span<std::byte> part(buffer.data(), length);
                bool same = test::engine().read(source, offset, part) &&
                            std::equal(part.begin(), part.end(), model.begin() + static_cast<ptrdiff_t>(offset));
                wrong += !same;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
}

class CountingIo : public test::PassingIo {
  public:
    void read(std::span<ReadOp> ops) override {
        operations += ops.size();
        PassingIo::read(ops);
    }
    size_t operations = 0;
};

// One compressed unit, of which every other 512 bytes are wanted: a child in small clusters over a parent in large ones.
class CrumbledSource : public Source {
  public:
    CrumbledSource(std::shared_ptr<const File> file, uint32_t unit) : file_(std::move(file)), unit_(unit) {}
    uint64_t size_bytes() const override { return unit_; }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override {
        for (uint64_t end = offset + length; offset < end && !out.full();) {
            uint64_t take = std::min(end - offset, 512 - offset % 512);
            if (offset / 512 % 2 == 0)
                out.zeros(take);
            else
                out.compressed({file_, 0, static_cast<uint32_t>(file_->size_bytes()), unit_,
                                static_cast<uint32_t>(offset), Codec::zlib}, take);
            offset += take;
        }
        return {};
    }

  private:
    std::shared_ptr<const File> file_;
    uint32_t unit_;
};

TEST(Engine, unpacks_a_unit_of_many_pieces_a_few_times_only) {
    auto io = std::make_unique<CountingIo>();
    CountingIo& count = *io;
    Engine engine(std::move(io));
    constexpr uint32_t unit = 2 << 20;
    std::vector<std::byte> bytes(unit);
    for (size_t i = 0; i < unit; ++i) bytes[i] = static_cast<std::byte>(i / 512 % 251 + 1);
    auto* compressor = libdeflate_alloc_compressor(1);
    std::vector<std::byte> stored(2 * unit);
    stored.resize(libdeflate_zlib_compress(compressor, bytes.data(), unit, stored.data(), stored.size()));
    libdeflate_free_compressor(compressor);
    CrumbledSource source(*File::from_bytes(stored, "packed", engine.io()), unit);
    std::vector<std::byte> buffer(512 * 1024);
    ASSERT_TRUE(engine.read(source, 0, buffer));
    EXPECT_LE(count.operations, 8u);
    for (size_t at = 0; at < buffer.size(); at += 1024) {
        EXPECT_TRUE(all_zero(std::span(buffer).subspan(at, 512)));
        EXPECT_TRUE(std::equal(&buffer[at + 512], &buffer[at + 1023] + 1, &bytes[at + 512]));
    }
}

// Units of 64 KiB that have hashes, every other one plain, the others zstd.
class CheckedSource : public Source {
  public:
    static constexpr uint32_t unit = 65536;

    CheckedSource(std::span<const std::byte> bytes, const std::string& path) : size_bytes_(bytes.size()) {
        std::vector<std::byte> stored;
        for (size_t at = 0; at < bytes.size(); at += unit) {
            auto block = bytes.subspan(at, std::min<size_t>(unit, bytes.size() - at));
            std::vector<std::byte> out(block.begin(), block.end());
            bool plain = at / unit % 2 == 0;
            if (!plain) {
                out.resize(2 * unit);
                out.resize(pack(Codec::zstd, 1, block, out).value());
            }
            units_.push_back({nullptr, stored.size(), static_cast<uint32_t>(out.size()),
                              static_cast<uint32_t>(block.size()), 0, plain ? Codec::plain : Codec::zstd, xxh3_128(block)});
            stored.insert(stored.end(), out.begin(), out.end());
        }
        test::write_file(path, stored);
    }
    void open(const std::string& path, Io& io) {
        auto file = *File::open(path, io);
        for (CompressedRange& each : units_) each.file = file;
    }
    CompressedRange& at(size_t index) { return units_[index]; }

    uint64_t size_bytes() const override { return size_bytes_; }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override {
        for (uint64_t end = offset + length; offset < end && !out.full();) {
            CompressedRange range = units_[offset / unit];
            range.skip = static_cast<uint32_t>(offset % unit);
            uint64_t take = std::min<uint64_t>(end - offset, range.unpacked_bytes - range.skip);
            out.compressed(range, take);
            offset += take;
        }
        return {};
    }

  private:
    uint64_t size_bytes_;
    std::vector<CompressedRange> units_;
};

class CheckedUnits : public testing::Test {
  protected:
    CheckedUnits() {
        auto io = std::make_unique<CountingIo>();
        count_ = io.get();
        engine_ = std::make_unique<Engine>(std::move(io));
        source_.open(path_, engine_->io());
    }
    // One byte of a stored unit becomes another, beneath the held file.
    void damage(size_t index) {
        auto stored = test::read_file(path_);
        stored[source_.at(index).offset + source_.at(index).stored_bytes / 2] ^= std::byte{4};
        test::write_file(path_, stored);
    }
    Result<void> read(uint64_t offset, uint64_t length) {
        buffer_.assign(length, std::byte{0});
        return engine_->read(source_, offset, buffer_);
    }

    ScratchDir scratch_;
    std::string path_ = scratch_.path("data");
    std::vector<std::byte> bytes_ = some_bytes(6 * CheckedSource::unit + 1000);
    CheckedSource source_{bytes_, path_};
    CountingIo* count_;
    std::unique_ptr<Engine> engine_;
    std::vector<std::byte> buffer_;
};

TEST_F(CheckedUnits, read_as_what_was_stored) {
    test::expect_consistent_reads(source_, 1);
    ASSERT_TRUE(read(0, bytes_.size()));
    EXPECT_EQ(buffer_, bytes_);
    for (uint64_t offset : {1, 65535, 65537, 131071, 393215, 393217}) {
        ASSERT_TRUE(read(offset, 999)) << offset;
        EXPECT_TRUE(std::equal(buffer_.begin(), buffer_.end(), bytes_.begin() + static_cast<ptrdiff_t>(offset))) << offset;
    }
}

TEST_F(CheckedUnits, are_an_error_where_a_stored_byte_changed) {
    for (size_t index : {2, 3}) {
        damage(index);
        for (auto [skip, length] : {std::pair{0u, CheckedSource::unit}, {5u, 10u}}) {
            auto result = read(index * CheckedSource::unit + skip, length);
            ASSERT_FALSE(result) << index << " " << skip;
            EXPECT_EQ(result.error().code, EIO);
            for (std::string part : {path_, std::to_string(source_.at(index).offset), std::string("hyperctl volume verify")})
                EXPECT_NE(result.error().message.find(part), std::string::npos) << result.error().message;
        }
        EXPECT_TRUE(read((index + 2) * CheckedSource::unit, 100));
    }
    EXPECT_NE(read(2 * CheckedSource::unit, 10).error().message.find(hex(*source_.at(2).hash)), std::string::npos);
}

// A stream that unpacks well, to something else.
TEST_F(CheckedUnits, are_an_error_where_a_stream_gives_other_bytes) {
    source_.at(1).hash = xxh3_128(std::span(bytes_).first(CheckedSource::unit));
    auto result = read(CheckedSource::unit, CheckedSource::unit);
    ASSERT_FALSE(result);
    EXPECT_NE(result.error().message.find("block hash differs: the stored bytes are damaged; run hyperctl volume verify"),
              std::string::npos) << result.error().message;
}

TEST_F(CheckedUnits, are_read_and_checked_once_for_many_partial_reads) {
    for (uint64_t offset = 0; offset < 2 * CheckedSource::unit; offset += 4096) ASSERT_TRUE(read(offset, 4096));
    EXPECT_EQ(count_->operations, 2u);
}

TEST_F(CheckedUnits, are_not_taken_from_the_cache_for_another_hash) {
    ASSERT_TRUE(read(10, 10));
    source_.at(0).hash = Hash128{};
    EXPECT_FALSE(read(10, 10));
    EXPECT_FALSE(read(0, CheckedSource::unit));
}

TEST_F(CheckedUnits, are_an_error_where_the_file_ends_early) {
    std::filesystem::resize_file(path_, 100);
    for (size_t index : {0, 1}) {
        EXPECT_FALSE(read(index * CheckedSource::unit, CheckedSource::unit)) << index;
        EXPECT_FALSE(read(index * CheckedSource::unit, 10)) << index;
    }
}

TEST_F(CheckedUnits, are_an_error_where_less_is_stored_than_the_unit_has) {
    source_.at(0).stored_bytes = 100;
    auto result = read(0, CheckedSource::unit);
    ASSERT_FALSE(result);
    EXPECT_NE(result.error().message.find("100 bytes are stored instead of 65536"), std::string::npos)
        << result.error().message;
}

TEST_F(CheckedUnits, are_read_straight_into_the_buffer_where_they_are_plain_and_whole) {
    class Watching : public test::PassingIo {
      public:
        void read(std::span<ReadOp> ops) override {
            targets.clear();
            for (ReadOp& op : ops) targets.push_back(op.buffer.data());
            PassingIo::read(ops);
        }
        std::vector<std::byte*> targets;
    };
    auto io = std::make_unique<Watching>();
    Watching& watching = *io;
    engine_ = std::make_unique<Engine>(std::move(io));
    source_.open(path_, engine_->io());
    ASSERT_TRUE(read(0, 3 * CheckedSource::unit));
    ASSERT_EQ(watching.targets.size(), 3u);
    EXPECT_EQ(watching.targets[0], buffer_.data());
    EXPECT_EQ(watching.targets[2], buffer_.data() + 2 * CheckedSource::unit);
}

TEST_F(CheckedUnits, are_data_and_want_large_requests) {
    size_t extents = 0;
    ASSERT_TRUE(visit_extents(source_, 0, bytes_.size(), [&](const Extent& extent) {
        ++extents;
        EXPECT_FALSE(extent.zero);
        return true;
    }));
    EXPECT_EQ(extents, 1u);
    EXPECT_EQ(preferred_request_bytes(source_), 65536u);
    EXPECT_TRUE(prefetch(source_, 0, bytes_.size()));
}

TEST(Extents, call_what_a_file_has_lost_data_and_not_a_hole) {
    ScratchDir scratch;
    test::write_file(scratch.path("disk"), some_bytes(16384));
    auto file = File::open(scratch.path("disk"), test::engine().io());
    ASSERT_TRUE(file);
    std::filesystem::resize_file(scratch.path("disk"), 4096);
    uint64_t data_bytes = 0;
    auto visited = visit_extents(FileSource(*file), 0, 16384, [&](const Extent& extent) {
        if (!extent.zero) data_bytes += extent.length;
        return true;
    });
    ASSERT_TRUE(visited);
    EXPECT_EQ(data_bytes, 16384u);
}

TEST(Extents, show_the_holes_of_the_file_beneath) {
    ScratchDir scratch;
    auto disk = test::pattern(4 * MiB, {{MiB, MiB}});
    test::write_sparse(*disk, scratch.path("disk"));
    auto file = File::open(scratch.path("disk"), test::engine().io());
    ASSERT_TRUE(file);
    std::vector<Extent> seen;
    ASSERT_TRUE(visit_extents(FileSource(*file), 0, 4 * MiB, [&](const Extent& e) {
        seen.push_back(e);
        return true;
    }));
    ASSERT_EQ(seen.size(), 3u);
    EXPECT_TRUE(seen[0].zero && seen[2].zero && !seen[1].zero);
    EXPECT_EQ(seen[1].offset, MiB);
    EXPECT_EQ(seen[1].length, MiB);
}

TEST(Extents, do_not_depend_on_what_is_in_the_page_cache) {
    ScratchDir scratch;
    std::string path = scratch.path("disk");
    test::must_run("fallocate -l 1M " + path + " && printf data | dd of=" + path +
                   " bs=4096 seek=64 conv=notrunc status=none");
    auto file = File::open(path, test::engine().io());
    ASSERT_TRUE(file);
    auto data_bytes = [&] {
        uint64_t data = 0;
        EXPECT_TRUE(visit_extents(FileSource(*file), 0, MiB, [&](const Extent& e) {
            data += e.zero ? 0 : e.length;
            return true;
        }));
        return data;
    };
    uint64_t before = data_bytes();
    test::read_all(FileSource(*file));
    EXPECT_EQ(data_bytes(), before);
    EXPECT_EQ(before, 4096u);
}

}  // namespace
}  // namespace hyper
