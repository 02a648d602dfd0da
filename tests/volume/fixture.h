// SPDX-License-Identifier: Apache-2.0
// What tests of volumes share: disks in memory, and changes that are known.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "blockengine/change_map.h"
#include "blockengine/volume/merkle.h"
#include "blockengine/volume/sync.h"
#include "blockengine/volume/verify.h"
#include "blockengine/volume/volume_writer.h"
#include "tests/support/support.h"

namespace hyper::test {

// A disk whose bytes are in memory, as they are when it is made.
inline std::shared_ptr<const Source> disk_of(Engine& engine, std::span<const std::byte> bytes) {
    return std::make_shared<FileSource>(*File::from_bytes(bytes, "disk", engine.io()));
}

// Says what it is told to say.
class ToldChanges : public ChangeMap {
  public:
    ToldChanges(std::string id, std::string known_id, std::vector<ChangedRun> runs)
        : id_(std::move(id)), known_id_(std::move(known_id)), runs_(std::move(runs)) {}
    std::string disk() const override { return "told"; }
    std::string change_id() const override { return id_; }
    std::vector<std::string> earlier() const override { return {known_id_}; }
    Result<std::optional<std::vector<ChangedRun>>> changed_since(std::string_view state) const override {
        if (state != known_id_) return std::nullopt;
        return runs_;
    }

  private:
    std::string id_, known_id_;
    std::vector<ChangedRun> runs_;
};

inline Sha256 root_of_bytes(std::span<const std::byte> bytes) {
    MerkleStream tree(tree_height(bytes.size()));
    for (uint64_t at = 0; at < bytes.size(); at += leaf_bytes)
        tree.add(at / leaf_bytes, leaf_hash(bytes.subspan(at, std::min<uint64_t>(leaf_bytes, bytes.size() - at))));
    return root_hash(bytes.size(), tree.finish());
}

// Bytes that do not compress, and never are all zeros.
inline void fill_randomly(std::span<std::byte> bytes, std::mt19937_64& draw) {
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(draw() | 1);
}

inline std::vector<std::byte> read_generation(const Volume& volume, uint32_t number) {
    auto generation = volume.find(std::to_string(number));
    EXPECT_TRUE(generation) << generation.error().message;
    if (!generation) return {};
    auto source = volume.open_generation(*generation);
    EXPECT_TRUE(source);
    std::vector<std::byte> bytes((*source)->size_bytes());
    auto read = volume.engine().read(**source, 0, bytes);
    EXPECT_TRUE(read) << read.error().message;
    return bytes;
}

class VolumeTest : public testing::Test {
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
    // Makes the volume anew.
    void make(uint32_t block_bytes = block_bytes_default, bool compress = true) {
        writer_ = nullptr;
        std::filesystem::remove_all(path_);
        auto made = VolumeWriter::create(engine_, path_, {.block_bytes = block_bytes, .compress = compress, .data_file_bytes_max = 4 << 20});
        ASSERT_TRUE(made) << made.error().message;
        writer_ = std::move(*made);
    }
    void reopen() {
        writer_ = nullptr;
        auto opened = VolumeWriter::open(engine_, path_);
        ASSERT_TRUE(opened) << opened.error().message;
        writer_ = std::move(*opened);
    }
    Result<SyncReport> try_sync(std::span<const std::byte> bytes, SyncOptions options = {},
                                std::shared_ptr<const ChangeMap> changes = nullptr) {
        return sync_volume(*writer_, {disk_of(engine_, bytes), "memory", std::move(changes)}, options);
    }
    SyncReport sync(std::span<const std::byte> bytes, SyncOptions options = {}, std::shared_ptr<const ChangeMap> changes = nullptr) {
        auto report = try_sync(bytes, std::move(options), std::move(changes));
        EXPECT_TRUE(report) << report.error().message;
        return report.value_or(SyncReport{});
    }
    std::vector<std::byte> random_disk(size_t bytes, uint64_t seed = 1) {
        std::vector<std::byte> disk(bytes);
        std::mt19937_64 draw(seed);
        fill_randomly(disk, draw);
        return disk;
    }
    uint64_t data_bytes() const {
        uint64_t bytes = 0;
        for (const auto& entry : std::filesystem::directory_iterator(path_ + "/data")) {
            struct stat status {};
            ::stat(entry.path().c_str(), &status);
            bytes += static_cast<uint64_t>(status.st_blocks) * 512;
        }
        return bytes;
    }

    ScratchDir scratch_;
    std::string path_ = scratch_.path("disk.volume");
    Engine engine_{make_pread_io()};
    std::unique_ptr<VolumeWriter> writer_;
};

}  // namespace hyper::test
