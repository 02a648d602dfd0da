// SPDX-License-Identifier: Apache-2.0
// Small VHDs byte by byte, for what qemu-img cannot write: differencing images, partial sector bitmaps, and damage.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "blockengine/base/bytes.h"
#include "convert/vhd/layout.h"

namespace hyper::test {

using Bytes = std::vector<std::byte>;

struct MadeBlock {
    std::byte fill;                             // every byte of its data
    std::function<bool(uint64_t)> has_sector = [](uint64_t) { return true; };  // the bitmap
};

struct MadeLocator {
    vhd::Tag platform_code;
    std::u16string name;
};

struct MadeVhd {
    uint64_t disk_size = 4 * MiB;
    uint32_t block_size = 2 * MiB;
    std::map<uint64_t, MadeBlock> blocks = {};  // stored in this order, one after the other
    vhd::UniqueId unique_id{std::byte{0x11}};
    uint32_t timestamp = 1000;
    vhd::Tag creator{'w', 'i', 'n', ' '};
    // Of a differencing image.
    std::optional<vhd::UniqueId> parent_id = {};
    uint32_t parent_timestamp = 1000;
    std::u16string parent_name = {};
    std::vector<MadeLocator> locators = {};

    Bytes bytes() const;
};

// Where things lie in what MadeVhd makes.
inline constexpr size_t made_header_at = 512, made_table_at = 1536;

vhd::Footer& front_footer(Bytes& image);
vhd::Footer& end_footer(Bytes& image);
vhd::DynamicHeader& header_of(Bytes& image);
be32& table_entry(Bytes& image, size_t block);

// The one's complement of the byte sum, into the structure.
template <class Structure>
void seal_one(Structure& structure) {
    structure.checksum = 0;
    uint32_t sum = 0;
    for (std::byte byte : bytes_of(structure)) sum += std::to_integer<uint32_t>(byte);
    structure.checksum = ~sum;
}
// Makes all checksums right again, after what they cover was changed.
void seal(Bytes& image);

}  // namespace hyper::test
