// SPDX-License-Identifier: Apache-2.0
// What unit tests share: scratch folders, real tools, sources made of patterns, and the model comparison.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "blockengine/base/bytes.h"
#include "blockengine/engine.h"
#include "blockengine/source.h"

namespace hyper::test {

// A folder that is removed with everything in it.
class ScratchDir {
  public:
    ScratchDir();
    ~ScratchDir();
    std::string path(const std::string& name) const { return (dir_ / name).string(); }
    const std::filesystem::path& dir() const { return dir_; }

  private:
    std::filesystem::path dir_;
};

// Runs a shell command; its output (both streams) and exit status.
struct CommandResult {
    int status;
    std::string output;
};
CommandResult run(const std::string& command);
// Fails the test, with the output, unless the command ends with 0.
void must_run(const std::string& command);
// 7-Zip, in a command of a shell. Debian 12's package 7zip has it as 7zz alone since its version 26.02.
inline const std::string seven_zip = "$(command -v 7zz || command -v 7z)";

// One engine for all tests of a program.
Engine& engine();

// A disk of any size whose data runs are given, filled with bytes that depend on the offset (never zero);
// everything else is holes. Costs no memory, so 64 TiB works.
class PatternSource : public Source, public Producer, public std::enable_shared_from_this<PatternSource> {
  public:
    // runs: offset -> length, not overlapping.
    PatternSource(uint64_t size_bytes, std::map<uint64_t, uint64_t> runs)
        : size_bytes_(size_bytes), runs_(std::move(runs)) {}
    uint64_t size_bytes() const override { return size_bytes_; }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override;
    Result<void> produce(uint64_t offset, std::span<std::byte> out) const override;

  private:
    uint64_t size_bytes_;
    std::map<uint64_t, uint64_t> runs_;
};
std::shared_ptr<const PatternSource> pattern(uint64_t size_bytes, std::map<uint64_t, uint64_t> runs);
// Deterministic random runs, aligned to `grain_bytes`, of about the given share of the disk.
std::map<uint64_t, uint64_t> random_runs(uint64_t size_bytes, uint64_t grain_bytes, double share, uint64_t seed);

// The awkward disks that every view and reader is tried on: empty, full, one byte in the last sector, odd sizes, ...
struct AwkwardDisk {
    std::string name;
    uint64_t size_bytes;
    std::map<uint64_t, uint64_t> runs;
};
std::vector<AwkwardDisk> awkward_disks();

// All bytes of a source, for small ones.
std::vector<std::byte> read_all(const Source& source);
std::vector<std::byte> read_file(const std::string& path);
void write_file(const std::string& path, std::span<const std::byte> bytes);
// Writes a source to a sparse file: only its data extents.
void write_sparse(const Source& source, const std::string& path);

// Which layer provides each run of a source's bytes (Piece::depth), neighbours joined: pairs of length and depth.
std::vector<std::pair<uint64_t, uint32_t>> layers(const Source& source);

// Expects that both sources read the same, by data extents and random probes; exact for small ones.
// The larger may only have zeros beyond the smaller's end.
void expect_same_content(const Source& expected, const Source& actual);
// Reads the source in many ways (whole, byte ranges at random offsets from a printed seed) and expects the
// same bytes each time; and that what it calls zero reads as zero.
void expect_consistent_reads(const Source& source, uint64_t seed);

}  // namespace hyper::test
