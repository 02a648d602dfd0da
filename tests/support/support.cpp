// SPDX-License-Identifier: Apache-2.0
#include "tests/support/support.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <random>

namespace hyper::test {

ScratchDir::ScratchDir() {
    std::string name = (std::filesystem::temp_directory_path() / "hyper-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
    dir_ = name;
}

ScratchDir::~ScratchDir() {
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
}

CommandResult run(const std::string& command) {
    CommandResult result{-1, ""};
    FILE* pipe = ::popen(("{ " + command + "\n} 2>&1").c_str(), "r");
    if (pipe == nullptr) return result;
    char chunk[4096];
    while (size_t got = ::fread(chunk, 1, sizeof chunk, pipe)) result.output.append(chunk, got);
    int status = ::pclose(pipe);
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return result;
}

void must_run(const std::string& command) {
    CommandResult result = run(command);
    ASSERT_EQ(result.status, 0) << command << "\n" << result.output;
}

Engine& engine() {
    static Engine instance;
    return instance;
}

Result<void> PatternSource::map(uint64_t offset, uint64_t length, PieceList& out) const {
    uint64_t end = offset + length;
    auto run = runs_.upper_bound(offset);
    if (run != runs_.begin() && std::prev(run)->first + std::prev(run)->second > offset) --run;
    while (offset < end && !out.full()) {
        uint64_t start = run == runs_.end() ? end : std::min(end, std::max(offset, run->first));
        out.zeros(start - offset);
        offset = start;
        if (offset >= end) break;
        uint64_t stop = std::min(end, run->first + run->second);
        out.computed(shared_from_this(), offset, stop - offset);
        offset = stop;
        ++run;
    }
    return {};
}

Result<void> PatternSource::produce(uint64_t offset, std::span<std::byte> out) const {
    for (size_t i = 0; i < out.size(); ++i) {
        uint64_t at = offset + i;
        uint64_t mixed = (at / 8 + 1) * 0x9e3779b97f4a7c15u;
        out[i] = static_cast<std::byte>((mixed >> (at % 8 * 8)) | 1);
    }
    return {};
}

std::shared_ptr<const PatternSource> pattern(uint64_t size_bytes, std::map<uint64_t, uint64_t> runs) {
    return std::make_shared<PatternSource>(size_bytes, std::move(runs));
}

std::map<uint64_t, uint64_t> random_runs(uint64_t size_bytes, uint64_t grain_bytes, double share, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::map<uint64_t, uint64_t> runs;
    uint64_t grains = size_bytes / grain_bytes;
    for (uint64_t grain = 0; grain < grains;) {
        uint64_t count = std::min(grains - grain, random() % 16 + 1);
        if (static_cast<double>(random() % 1000) < share * 1000) runs[grain * grain_bytes] = count * grain_bytes;
        grain += count;
    }
    return runs;
}

std::vector<AwkwardDisk> awkward_disks() {
    std::map<uint64_t, uint64_t> alternating;
    for (uint64_t block = 0; block < 512; block += 2) alternating[block * 64 * KiB] = 64 * KiB;
    return {
        {"one-sector", 512, {{0, 512}}},
        {"empty", 10 * MiB, {}},
        {"full", 10 * MiB, {{0, 10 * MiB}}},
        {"last-byte", 64 * MiB, {{64 * MiB - 1, 1}}},
        {"odd-sectors", 3 * MiB + 7 * 512, {{0, 512}, {MiB + 512, 1024}, {3 * MiB + 6 * 512, 512}}},
        {"odd-bytes", 5 * MiB + 123, {{0, 4096}, {5 * MiB, 123}}},
        {"alternating", 32 * MiB, alternating},
        {"random", 96 * MiB + 512, random_runs(96 * MiB, 4 * KiB, 0.4, 7)},
        {"5TiB-sparse", 5 * TiB, {{0, 4096}, {TiB + 512, 70000}, {5 * TiB - 4096, 4096}}},
    };
}

std::vector<std::byte> read_all(const Source& source) {
    std::vector<std::byte> bytes(source.size_bytes());
    auto result = engine().read(source, 0, bytes);
    EXPECT_TRUE(result) << (result ? "" : result.error().message);
    return bytes;
}

std::vector<std::byte> read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    EXPECT_TRUE(file) << path;
    std::string text((std::istreambuf_iterator<char>(file)), {});
    auto bytes = bytes_of_text(text);
    return {bytes.begin(), bytes.end()};
}

void write_file(const std::string& path, std::span<const std::byte> bytes) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    ASSERT_TRUE(file.flush()) << path;
}

namespace {

// Calls `visit(offset, bytes)` for the data of a source in bounded chunks.
void for_each_data(const Source& source, const std::function<void(uint64_t, std::span<const std::byte>)>& visit) {
    if (source.size_bytes() == 0) return;
    std::vector<Extent> extents;
    auto seen = visit_extents(source, 0, source.size_bytes(), [&](const Extent& extent) {
        if (!extent.zero) extents.push_back(extent);
        return true;
    });
    ASSERT_TRUE(seen) << seen.error().message;
    std::vector<std::byte> buffer(MiB);
    for (const Extent& extent : extents) {
        for (uint64_t done = 0; done < extent.length;) {
            uint64_t take = std::min<uint64_t>(buffer.size(), extent.length - done);
            std::span<std::byte> part(buffer.data(), take);
            auto result = engine().read(source, extent.offset + done, part);
            ASSERT_TRUE(result) << result.error().message;
            visit(extent.offset + done, part);
            done += take;
        }
    }
}

void expect_data_of_in(const Source& a, const Source& b) {
    std::vector<std::byte> other(MiB);
    bool differs = false;
    for_each_data(a, [&](uint64_t offset, std::span<const std::byte> bytes) {
        if (differs) return;
        uint64_t inside = offset < b.size_bytes() ? std::min<uint64_t>(bytes.size(), b.size_bytes() - offset) : 0;
        std::span<std::byte> part(other.data(), bytes.size());
        std::fill(part.begin(), part.end(), std::byte{0});
        if (inside > 0) {
            auto result = engine().read(b, offset, part.first(inside));
            ASSERT_TRUE(result) << result.error().message;
        }
        if (!std::equal(bytes.begin(), bytes.end(), part.begin())) {
            differs = true;
            auto at = std::mismatch(bytes.begin(), bytes.end(), part.begin()).first - bytes.begin();
            ADD_FAILURE() << "contents differ at byte " << offset + static_cast<uint64_t>(at);
        }
    });
}

}  // namespace

void write_sparse(const Source& source, const std::string& path) {
    int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ASSERT_GE(fd, 0) << path;
    ASSERT_EQ(::ftruncate(fd, static_cast<off_t>(source.size_bytes())), 0);
    for_each_data(source, [&](uint64_t offset, std::span<const std::byte> bytes) {
        ASSERT_EQ(::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)),
                  static_cast<ssize_t>(bytes.size()));
    });
    ::close(fd);
}

std::vector<std::pair<uint64_t, uint32_t>> layers(const Source& source) {
    std::vector<std::pair<uint64_t, uint32_t>> runs;
    PieceList pieces;
    for (uint64_t offset = 0; offset < source.size_bytes(); offset += pieces.length()) {
        pieces.clear();
        auto mapped = source.map(offset, source.size_bytes() - offset, pieces);
        EXPECT_TRUE(mapped) << mapped.error().message;
        if (!mapped || pieces.length() == 0) break;
        for (const Piece& piece : pieces.pieces()) {
            if (runs.empty() || runs.back().second != piece.depth) runs.emplace_back(0, piece.depth);
            runs.back().first += piece.length;
        }
    }
    return runs;
}

void expect_same_content(const Source& expected, const Source& actual) {
    expect_data_of_in(expected, actual);
    expect_data_of_in(actual, expected);
}

void expect_consistent_reads(const Source& source, uint64_t seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    uint64_t size = source.size_bytes();
    std::vector<std::byte> large(std::min<uint64_t>(size, 3 * MiB));
    for (int round = 0; round < 20; ++round) {
        uint64_t length = std::min<uint64_t>(large.size(), random() % large.size() + 1);
        uint64_t offset = round == 0 ? size - length : random() % (size - length + 1);
        std::span<std::byte> whole(large.data(), length);
        auto result = engine().read(source, offset, whole);
        ASSERT_TRUE(result) << result.error().message;
        for (int probe = 0; probe < 20; ++probe) {
            uint64_t from = random() % length, take = std::min<uint64_t>(length - from, random() % 70000 + 1);
            std::vector<std::byte> small(take);
            result = engine().read(source, offset + from, small);
            ASSERT_TRUE(result) << result.error().message;
            ASSERT_TRUE(std::equal(small.begin(), small.end(), whole.begin() + static_cast<ptrdiff_t>(from)))
                << "bytes at " << offset + from << " differ when read as " << take << " bytes";
        }
        auto seen = visit_extents(source, offset, length, [&](const Extent& extent) {
            EXPECT_TRUE(!extent.zero || all_zero(whole.subspan(extent.offset - offset, extent.length)))
                << "extent at " << extent.offset << " is said to be zero";
            return true;
        });
        ASSERT_TRUE(seen) << seen.error().message;
    }
}

}  // namespace hyper::test
