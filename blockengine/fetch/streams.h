// SPDX-License-Identifier: Apache-2.0
// Recognises who reads a file from front to back, and says what to fetch ahead of them.
//
// Design note. A stream is where a reader has got to, and how many bytes it has read in a row. The next read belongs to it where it
// begins close behind that place, or within what was announced, since a client with several requests under way sends them in
// almost any order. What is fetched ahead is at most twice what was read in a row, so a few reads that happen to be neighbours cost
// little, and a long stream soon has all that it may. It is announced in steps, so that requests become large.
#pragma once

#include <array>
#include <cstdint>

#include "blockengine/base/bytes.h"

namespace hyper {

// Bound to one thread at a time.
class Streams {
  public:
    // Read in a row before anything is fetched ahead.
    static constexpr uint64_t bytes_before = 128 * KiB;

    struct Limits {
        uint64_t ahead_bytes;  // of all streams together
        uint64_t step_bytes;
        uint64_t size_bytes;  // of the file
    };
    struct Range {
        uint64_t offset, length;
    };
    // Somebody reads a range; answers what to fetch ahead now, of length 0 for nothing.
    Range read(uint64_t offset, uint64_t length, const Limits& limits);

  private:
    struct Stream {
        uint64_t next = UINT64_MAX;  // UINT64_MAX: unused
        uint64_t ahead_until = 0;
        uint64_t in_a_row_bytes = 0;
        uint64_t last_read = 0;
    };
    static constexpr uint64_t gap_bytes = 256 * KiB, disorder_bytes = 4 * MiB;
    static constexpr uint64_t reads_until_idle = 1024;

    Stream& stream_of(uint64_t offset, uint64_t length);
    uint64_t active() const;

    std::array<Stream, 16> streams_;
    uint64_t reads_ = 0;
};

}  // namespace hyper
