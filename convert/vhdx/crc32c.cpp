// SPDX-License-Identifier: Apache-2.0
// Eight bytes a step by eight tables ("slicing by 8"), about 2 GB/s: a table k maps a byte to what it
// contributes to the remainder k bytes later.
#include "convert/vhdx/crc32c.h"

#include <array>

#include "blockengine/base/bytes.h"

namespace hyper {

namespace {

constexpr uint32_t polynomial = 0x82f63b78;  // 0x1edc6f41 with its bits reversed
using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables make_tables() {
    Tables tables{};
    for (uint32_t value = 0; value < 256; ++value) {
        uint32_t crc = value;
        for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? polynomial : 0);
        tables[0][value] = crc;
    }
    for (size_t k = 1; k < tables.size(); ++k)
        for (size_t value = 0; value < 256; ++value)
            tables[k][value] = tables[k - 1][value] >> 8 ^ tables[0][tables[k - 1][value] & 0xff];
    return tables;
}

constexpr Tables tables = make_tables();

}  // namespace

uint32_t crc32c(std::span<const std::byte> bytes, uint32_t before) {
    uint32_t crc = ~before;
    while (bytes.size() >= 8) {
        uint64_t word = load_le<uint64_t>(bytes.data()) ^ crc;
        crc = 0;
        for (size_t k = 0; k < 8; ++k) crc ^= tables[7 - k][word >> (8 * k) & 0xff];
        bytes = bytes.subspan(8);
    }
    for (std::byte byte : bytes) crc = crc >> 8 ^ tables[0][(crc ^ static_cast<uint32_t>(byte)) & 0xff];
    return ~crc;
}

}  // namespace hyper
