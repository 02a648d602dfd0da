// SPDX-License-Identifier: Apache-2.0
// Tables of 64-bit entries, computed for just the bytes that are asked for.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>

#include "blockengine/base/bytes.h"

namespace hyper::qcow2 {

// Fills `out` with the bytes from `offset` on of a table of 64-bit entries. next_entry() is called for the
// entries from offset / 8 on, one after the other.
template <class NextEntry>
void fill_table(uint64_t offset, std::span<std::byte> out, NextEntry next_entry) {
    uint64_t skip = offset % 8;
    while (!out.empty()) {
        const be64 entry(next_entry());
        size_t take = std::min<uint64_t>(8 - skip, out.size());
        std::memcpy(out.data(), bytes_of(entry).data() + skip, take);
        out = out.subspan(take);
        skip = 0;
    }
}

}  // namespace hyper::qcow2
