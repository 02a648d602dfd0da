// SPDX-License-Identifier: Apache-2.0
// Goes over the data of one source, or of two together, in large chunks and by several threads. Holes are not touched.
//
// Extents are asked for a window of the disk at a time, so memory does not grow with the disk: chunk_bytes_max a
// thread for the reader, and the runs of one window.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <vector>

#include "blockengine/source.h"

namespace hyper::ctl {

struct Run {
    uint64_t offset, length;
};

// A part of the disk that is read at once: from its first run to the end of its last. Small holes lie between.
struct Chunk {
    uint64_t offset, length;
    std::vector<Run> runs;  // ascending, within the chunk
    uint64_t number = 0;    // of the walk's chunks, from 0
};

// Thread-safe: each chunk goes to one of the threads that ask, in rising order.
class DataWalk {
  public:
    static constexpr uint64_t chunk_bytes_max = 2 << 20;

    // All sources have the size of the first. They outlive the walk. Runs, and so chunks, begin and end at multiples of
    // `align_bytes`, a divisor of chunk_bytes_max, or at the disk's end.
    explicit DataWalk(std::vector<const Source*> sources, uint64_t align_bytes = 1)
        : sources_(std::move(sources)), align_bytes_(align_bytes) {}

    // The next chunk where any source has data; false at the end. Errors: those of visit_extents().
    Result<bool> next(Chunk& chunk);
    // How many bytes the runs of all chunks will have together. Goes over all extents.
    Result<uint64_t> data_bytes() const;

  private:
    static constexpr uint64_t window_bytes = uint64_t{4} << 30;
    // A smaller hole than this is read over rather than to read twice.
    static constexpr uint64_t hole_bytes_min = 64 << 10;

    Result<std::vector<Run>> runs_of(uint64_t offset, uint64_t length) const;

    const std::vector<const Source*> sources_;
    const uint64_t align_bytes_;
    std::mutex mutex_;
    uint64_t window_offset_ = 0;  // guarded by mutex_; the next window's
    std::deque<Run> runs_;        // guarded by mutex_; of the window, not yet handed out
    uint64_t number_ = 0;         // guarded by mutex_; the next chunk's
};

// Runs `work` in `thread_count` threads for chunk after chunk until the walk ends, one of them fails, `stop`
// answers true, or a signal came. The first error is the answer.
Result<void> walk_in_threads(DataWalk& walk, unsigned thread_count, const std::function<bool(const Chunk&)>& stop,
                             const std::function<Result<void>(const Chunk&)>& work);

// As many as are worth it for reading, and unpacking, large chunks.
unsigned reader_threads();

}  // namespace hyper::ctl
