// SPDX-License-Identifier: Apache-2.0
// The log of a VHDX file, replayed in memory.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "blockengine/base/result.h"
#include "blockengine/block_cache.h"
#include "convert/vhdx/structs.h"

namespace hyper::vhdx {

// Logs are 1 MiB as everybody makes them; a longer one than this is refused when it must be replayed.
inline constexpr uint64_t dirty_log_bytes_max = 64 * MiB;

// What the file reads as once its log is replayed. Immutable after replay(); thread-safe.
class LogOverlay {
  public:
    // A clean file: nothing changes.
    LogOverlay() = default;

    // Where the log lies, and the file that it belongs to.
    struct Place {
        std::string file_name;
        Guid log_guid;
        uint64_t log_offset;
        uint64_t file_bytes;
    };
    // `log` is the whole log region, a whole number of 4 KiB sectors. Errors: EINVAL where no active sequence is found, or where it
    // writes to what a log may not touch.
    static Result<LogOverlay> replay(const Place& place, Bytes log);

    bool empty() const { return changes_.empty(); }
    // How long the log wants the file to be; 0 for a clean file.
    uint64_t file_bytes() const { return file_bytes_; }
    size_t entry_count() const { return entry_count_; }

    // A run of the file that the log replaces: by zeros, or by bytes of data().
    struct Change {
        static constexpr uint64_t zeros = ~uint64_t{0};
        uint64_t offset, length;
        uint64_t data_offset;
    };
    // The change that holds `offset`, or else the next after it; length 0 where there is none.
    Change find(uint64_t offset) const;
    std::span<const std::byte> data() const { return log_; }
    // Replays over bytes that were read from the file at `offset`.
    void apply(uint64_t offset, std::span<std::byte> bytes) const;

  private:
    friend class LogReader;
    struct Run {
        uint64_t length, data_offset;
    };
    void insert(uint64_t offset, uint64_t length, uint64_t data_offset);

    Bytes log_;  // with the logged sectors made whole in place
    std::map<uint64_t, Run> changes_;  // by file offset; they do not overlap
    uint64_t file_bytes_ = 0;
    size_t entry_count_ = 0;
};

}  // namespace hyper::vhdx
