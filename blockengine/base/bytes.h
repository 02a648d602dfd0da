// SPDX-License-Identifier: Apache-2.0
// Byte order and checked arithmetic, for everything that reads or writes on-disk structures.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace hyper {

using Bytes = std::vector<std::byte>;

static_assert(std::endian::native == std::endian::little, "written and tested on little-endian hosts");

inline constexpr uint64_t KiB = 1024, MiB = 1024 * KiB, GiB = 1024 * MiB, TiB = 1024 * GiB;
inline constexpr uint64_t sector_bytes = 512;

// The largest disk that is served. Every format here can hold it, or says that it cannot.
inline constexpr uint64_t disk_bytes_max = 64 * TiB;

template <class T>
T load_le(const std::byte* p) {
    T value;
    std::memcpy(&value, p, sizeof value);
    return value;
}

template <class T>
void store_le(std::byte* p, T value) {
    std::memcpy(p, &value, sizeof value);
}

inline uint16_t swap_bytes(uint16_t v) { return __builtin_bswap16(v); }
inline uint32_t swap_bytes(uint32_t v) { return __builtin_bswap32(v); }
inline uint64_t swap_bytes(uint64_t v) { return __builtin_bswap64(v); }

template <class T>
T load_be(const std::byte* p) {
    return swap_bytes(load_le<T>(p));
}

template <class T>
void store_be(std::byte* p, T value) {
    store_le<T>(p, swap_bytes(value));
}

// An integer that lies in memory in the given byte order: members of on-disk structs.
// Alignment is 1, so a struct of these has no padding; assert its size all the same.
template <class T>
class BigEndian {
  public:
    BigEndian() = default;
    BigEndian(T value) { store_be(bytes_, value); }
    operator T() const { return load_be<T>(bytes_); }

  private:
    std::byte bytes_[sizeof(T)] = {};
};

template <class T>
class LittleEndian {
  public:
    LittleEndian() = default;
    LittleEndian(T value) { store_le(bytes_, value); }
    operator T() const { return load_le<T>(bytes_); }

  private:
    std::byte bytes_[sizeof(T)] = {};
};

using be16 = BigEndian<uint16_t>;
using be32 = BigEndian<uint32_t>;
using be64 = BigEndian<uint64_t>;
using le16 = LittleEndian<uint16_t>;
using le32 = LittleEndian<uint32_t>;
using le64 = LittleEndian<uint64_t>;

// The bytes of a trivially copyable object, to read into or to write from.
template <class T>
std::span<std::byte> bytes_of(T& object) {
    return std::as_writable_bytes(std::span<T, 1>(&object, 1));
}
template <class T>
std::span<const std::byte> bytes_of(const T& object) {
    return std::as_bytes(std::span<const T, 1>(&object, 1));
}
inline std::span<const std::byte> bytes_of_text(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

// nullopt on overflow.
inline std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
    return sum;
}
inline std::optional<uint64_t> checked_multiply(uint64_t a, uint64_t b) {
    uint64_t product;
    if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
    return product;
}

// True when [offset, offset + length) lies within [0, size), without overflow.
inline bool range_within(uint64_t offset, uint64_t length, uint64_t size) {
    return offset <= size && length <= size - offset;
}

// `unit` need not be a power of two. The caller has bounded `value` (disk_bytes_max), so no overflow.
constexpr uint64_t divide_up(uint64_t value, uint64_t unit) {
    return value / unit + (value % unit != 0);
}
constexpr uint64_t round_up(uint64_t value, uint64_t unit) { return divide_up(value, unit) * unit; }
constexpr uint64_t round_down(uint64_t value, uint64_t unit) { return value / unit * unit; }

bool all_zero(std::span<const std::byte> bytes);

}  // namespace hyper
