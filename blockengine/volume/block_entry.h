// SPDX-License-Identifier: Apache-2.0
// What a volume knows of one of its blocks.
#pragma once

#include <cstdint>

#include "blockengine/base/hash.h"

namespace hyper {

// As stored in data files and in the index, see README.md.
enum class BlockCodec : uint8_t {
    zeros = 0,  // nothing is stored
    plain = 1,
    zstd = 2,
    lost = 3,  // it was stored, and is damaged beyond repair: reading it is EIO
};

// Where a block's stored bytes are: in data file `file` (numbered from 1).
struct Place {
    uint32_t file = 0;
    uint32_t stored_bytes = 0;
    uint64_t offset = 0;
    bool operator==(const Place&) const = default;
};

struct BlockEntry {
    BlockCodec codec = BlockCodec::zeros;
    Place place;      // for plain and zstd
    Hash128 hash{};   // of the content, unpacked; for zeros all 0
    bool operator==(const BlockEntry&) const = default;
};

}  // namespace hyper
