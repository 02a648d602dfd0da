// SPDX-License-Identifier: Apache-2.0
// What the generators of the NBD fuzz targets are driven by: the input, taken byte by byte, decides
// what a client does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "blockengine/base/bytes.h"

namespace hyper::nbd {

// Bound to one thread. Past the end of the input every byte is 0.
class Choices {
  public:
    explicit Choices(std::span<const uint8_t> input) : rest_(input) {}

    bool at_end() const { return rest_.empty(); }
    uint8_t byte() {
        if (rest_.empty()) return 0;
        uint8_t first = rest_.front();
        rest_ = rest_.subspan(1);
        return first;
    }
    bool one_in(unsigned n) { return byte() % n == n - 1; }
    uint64_t number() {
        uint64_t value = 0;
        for (int i = 0; i < 8; ++i) value = value << 8 | byte();
        return value;
    }
    // One of these, or now and then a number of the input's own.
    uint64_t number_of(std::initializer_list<uint64_t> usual) {
        unsigned which = byte();
        if (which >= 240) return number();
        return usual.begin()[which % usual.size()];
    }
    std::span<const std::byte> bytes(size_t count) {
        auto taken = rest_.first(std::min(count, rest_.size()));
        rest_ = rest_.subspan(taken.size());
        return std::as_bytes(taken);
    }

  private:
    std::span<const uint8_t> rest_;
};

// Messages that are being put together.
class Stream {
  public:
    template <class T>
    void add(const T& wire) {
        append(bytes_of(wire));
    }
    void append(std::span<const std::byte> bytes) {
        bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    }
    void text(std::string_view text) { append(bytes_of_text(text)); }
    void fill(size_t count, uint8_t value) { bytes_.insert(bytes_.end(), count, std::byte{value}); }
    size_t size() const { return bytes_.size(); }
    std::vector<std::byte>& bytes() { return bytes_; }

  private:
    std::vector<std::byte> bytes_;
};

}  // namespace hyper::nbd
