// SPDX-License-Identifier: Apache-2.0
// Writing the data files of a volume: records are appended, and files never change once they are sealed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "blockengine/base/result.h"
#include "blockengine/base/unique_fd.h"
#include "blockengine/io.h"
#include "blockengine/volume/data_format.h"

namespace hyper {

// Where the next record goes. `end` 0: in a new file, number `file` + 1; so the default is that of a new volume.
struct DataPosition {
    uint32_t file = 0;
    uint64_t end = 0;  // a multiple of 4096
    uint64_t sequence = 0;
    bool operator==(const DataPosition&) const = default;
};

// A block for a batch: with bytes to be stored (plain or zstd), with the place where they are stored already, or with neither
// (zeros, lost).
struct StoredBlock {
    uint64_t block = 0;
    BlockCodec codec = BlockCodec::zeros;
    Hash128 hash{};
    std::span<const std::byte> bytes;
    Place place;
};

// Bound to one thread, which holds the volume's lock. After a write or a sync has failed everything is refused with that
// error, since the kernel tells of what it lost only once: then open anew at a position that is known to be durable.
class DataFiles {
  public:
    // Goes on at `at`. What lies past it in that file is of a crash: it is cut off, and so is a file that is already there
    // under the number of a new one. Where the file ends before `at` (its bytes did not reach the disk when the machine went
    // down), what is missing becomes a hole, and its blocks fail their hashes. `folder` exists.
    // A file that would become larger than `file_bytes_max` is sealed and another begun; a batch that alone is larger has
    // a file to itself.
    // `durable`: what lies before `at` is known to be; else it is made so.
    // Errors: EIO where the file is not of this volume; what open(2) and so on give.
    static Result<std::unique_ptr<DataFiles>> open(Io& io, std::string folder, const VolumeId& volume, DataPosition at,
                                                   uint64_t file_bytes_max, bool durable = false);

    // Appends at most batch_blocks_max blocks, none larger than stored_block_bytes_max, as one record; their entries come in
    // the same order. Not durable before sync(). `bytes` are borrowed for the call and not copied.
    Result<std::vector<BlockEntry>> append_batch(uint32_t generation, uint64_t attempt, std::span<const StoredBlock> blocks);
    // A generation or pruned record. EINVAL for a text of more than record_text_bytes_max.
    Result<void> append_text(RecordKind kind, uint32_t generation, uint64_t attempt, std::string_view json);
    // What was appended is durable, and so are the names of new files.
    Result<void> sync();

    // Behind the last record that was appended.
    DataPosition position() const { return position_; }

  private:
    DataFiles(Io& io, std::string folder, const VolumeId& volume, uint64_t file_bytes_max)
        : io_(io), folder_(std::move(folder)), volume_(volume), file_bytes_max_(file_bytes_max) {}

    Result<void> resume(DataPosition at, bool durable);
    Result<void> begin_file(DataPosition at);
    Result<void> make_room(uint64_t record_bytes);
    Result<void> roll_over();
    // One record at `at`, which then is behind it.
    Result<void> write(DataPosition& at, RecordHead head, std::span<const BatchEntry> entries,
                       std::span<const std::span<const std::byte>> body);
    Result<void> write_text(DataPosition& at, RecordKind kind, uint32_t generation, uint64_t attempt, std::string_view json);
    Result<void> sync_file(uint32_t number);
    Result<void> usable() const;
    // Keeps the first error, and hands it on.
    Result<void> kept(Result<void> result);

    Io& io_;
    std::string folder_;
    VolumeId volume_;
    uint64_t file_bytes_max_;
    UniqueFd folder_fd_, file_;  // file_: that of position_
    DataPosition position_;
    uint64_t first_sequence_ = 0;  // of the present file
    std::optional<Error> failed_;
};

}  // namespace hyper
