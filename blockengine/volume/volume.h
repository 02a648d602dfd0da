// SPDX-License-Identifier: Apache-2.0
// A volume to be read: its generations, what changed between them, and each as a source. See README.md.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "blockengine/engine.h"
#include "blockengine/volume/block_runs.h"
#include "blockengine/volume/data_format.h"
#include "blockengine/volume/generation.h"
#include "blockengine/volume/index.h"
#include "blockengine/volume/pruned_marks.h"

namespace hyper {


inline constexpr std::string_view volume_suffix = ".volume";
inline constexpr uint32_t block_bytes_min = 4 << 10, block_bytes_max = 4 << 20, block_bytes_default = 64 << 10;

// Set in the index while some block of the newest generation is lost.
inline constexpr std::string_view lost_blocks_name = "lost blocks";

// Set in the index for a generation of which some blocks are missing and nobody knows which.
inline std::string wrong_root_name(uint32_t generation) { return fmt::format("wrong root {}", generation); }

// What is decided when a volume is made.
struct VolumeOptions {
    uint32_t block_bytes = block_bytes_default;  // a power of two
    bool compress = true;
    uint64_t data_file_bytes_max = uint64_t{1} << 30;
};

struct VolumeInfo {
    VolumeId id{};
    VolumeOptions options;
};

// Where what is in a volume's folder.
struct VolumePaths {
    explicit VolumePaths(std::string volume) : folder(std::move(volume)) {}
    std::string folder;
    std::string info() const { return folder + "/volume"; }
    std::string lock() const { return folder + "/lock"; }
    std::string data() const { return folder + "/data"; }
    std::string data_file(uint32_t number) const;
    std::string index() const { return folder + "/index"; }
    std::string pruned() const { return folder + "/pruned"; }
    std::string latest() const { return folder + "/latest"; }
    std::string draft() const { return folder + "/draft"; }
    std::string companions() const { return folder + "/companions"; }
};

// True for a folder that holds a volume.
bool is_volume(const std::string& path);
// Errors: ENOENT where there is none; EINVAL for a text that is not one's, or of a later version of this program.
Result<VolumeInfo> read_volume_info(const std::string& folder);
Result<void> write_volume_info(const std::string& folder, const VolumeInfo& info);

// Thread-safe. Follows what another process writes; refresh() sees it.
class Volume : public std::enable_shared_from_this<Volume> {
  public:
    // `engine` must outlive it, and every source of it. Errors: ENOENT, EIO.
    static Result<std::shared_ptr<Volume>> open(Engine& engine, const std::string& folder);
    // Over an index that is open already: for the writer.
    static Result<std::shared_ptr<Volume>> over(Engine& engine, const std::string& folder, std::shared_ptr<Index> index);

    const std::string& folder() const { return paths_.folder; }
    const VolumePaths& paths() const { return paths_; }
    const VolumeInfo& info() const { return info_; }
    uint32_t block_bytes() const { return info_.options.block_bytes; }
    Engine& engine() const { return engine_; }
    const Index& index() const { return *index_; }
    const PrunedMarks& pruned() const { return pruned_; }

    // Sees what was committed since. Errors: EIO, also where the index is older than what was committed.
    Result<void> refresh();
    // Ascending; those that are pruned are not among them.
    Result<std::vector<Generation>> generations() const;
    Result<Generation> find(std::string_view which) const;

    // The disk as it was. Once the generation is pruned, reading it is ESTALE, saying so. Errors: EIO
    // for one that could not be rebuilt as a whole.
    Result<std::shared_ptr<const Source>> open_generation(const Generation& generation) const;
    // Blocks of which some byte may differ between two generations, from < to, both kept; from 0: all that `to` has.
    Result<BlockRuns> changed(uint32_t from, uint32_t to) const;

    // A data file, of which at least `end` bytes are there.
    Result<std::shared_ptr<const File>> data_file(uint32_t number, uint64_t end) const;

  private:
    Volume(Engine& engine, std::string folder) : engine_(engine), paths_(std::move(folder)) {}

    static constexpr size_t files_open_max = 256;

    Engine& engine_;
    VolumePaths paths_;
    VolumeInfo info_;
    std::shared_ptr<Index> index_;
    PrunedMarks pruned_;
    mutable std::mutex mutex_;
    mutable std::map<uint32_t, std::shared_ptr<const File>> files_;  // guarded by mutex_
};

}  // namespace hyper
