// SPDX-License-Identifier: Apache-2.0
// The part of a computed file that is asked for: what lies within is copied, the rest is left out.
#pragma once

#include <algorithm>
#include <cstring>

#include "blockengine/base/bytes.h"

namespace hyper::vmdk {

class Window {
  public:
    // `out` starts as zeros.
    Window(uint64_t offset, std::span<std::byte> out) : offset_(offset), out_(out) {
        std::fill(out.begin(), out.end(), std::byte{0});
    }

    bool overlaps(uint64_t at, uint64_t length) const { return at < end() && offset_ < at + length; }

    // Copies what of [at, at + bytes.size()) lies within.
    void put(uint64_t at, std::span<const std::byte> bytes) {
        if (!overlaps(at, bytes.size())) return;
        uint64_t from = std::max(at, offset_), to = std::min(at + bytes.size(), end());
        std::memcpy(out_.data() + (from - offset_), bytes.data() + (from - at), to - from);
    }

    // Puts a table of 32-bit entries; `entry_of(index)` is called only for those that are needed, in order.
    template <class EntryOf>
    void put_table(uint64_t at, uint64_t count, EntryOf entry_of) {
        if (!overlaps(at, count * 4)) return;
        uint64_t first = offset_ > at ? (offset_ - at) / 4 : 0;
        uint64_t last = std::min(count, divide_up(end() - at, 4));
        for (uint64_t index = first; index < last; ++index) {
            uint32_t entry = entry_of(index);
            put(at + index * 4, bytes_of(entry));
        }
    }

  private:
    uint64_t end() const { return offset_ + out_.size(); }

    uint64_t offset_;
    std::span<std::byte> out_;
};

}  // namespace hyper::vmdk
