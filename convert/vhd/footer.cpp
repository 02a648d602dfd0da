// SPDX-License-Identifier: Apache-2.0
#include "convert/vhd/footer.h"

#include <algorithm>

namespace hyper::vhd {

namespace {

template <class Structure>
uint32_t checksum(Structure structure) {
    structure.checksum = 0;
    uint32_t sum = 0;
    for (std::byte byte : bytes_of(structure)) sum += static_cast<uint32_t>(byte);
    return ~sum;
}

}  // namespace

uint32_t checksum_of(const Footer& footer) { return checksum(footer); }
uint32_t checksum_of(const DynamicHeader& header) { return checksum(header); }

Geometry geometry_of(uint64_t size) {
    uint64_t sectors = std::min(size / sector_bytes, geometry_sectors_max);
    uint64_t per_track, heads, tracks;
    if (sectors >= uint64_t{65535} * 16 * 63) {
        per_track = 255;
        heads = 16;
        tracks = sectors / per_track;
    } else {
        per_track = 17;
        tracks = sectors / per_track;
        heads = std::max<uint64_t>(4, divide_up(tracks, 1024));
        if (tracks >= heads * 1024 || heads > 16) {
            per_track = 31;
            heads = 16;
            tracks = sectors / per_track;
        }
        if (tracks >= heads * 1024) {
            per_track = 63;
            heads = 16;
            tracks = sectors / per_track;
        }
    }
    return {static_cast<uint16_t>(tracks / heads), static_cast<uint8_t>(heads), static_cast<uint8_t>(per_track)};
}

SizeRule size_rule(const Footer& footer) {
    constexpr Tag by_geometry[] = {{'v', 'p', 'c', ' '}, {'q', 'e', 'm', 'u'}};
    constexpr Tag by_current_size[] = {{'w', 'i', 'n', ' '}, {'q', 'e', 'm', '2'}, {'d', '2', 'v', ' '},
                                       {'t', 'a', 'p', 0},   {'C', 'T', 'X', 'S'}, {'w', 'a', 0, 0}};
    if (footer.geometry.bytes() == geometry_sectors_max * sector_bytes) return SizeRule::current_size;
    if (std::ranges::find(by_geometry, footer.creator_app) != std::end(by_geometry)) return SizeRule::geometry;
    if (std::ranges::find(by_current_size, footer.creator_app) != std::end(by_current_size))
        return SizeRule::current_size;
    return SizeRule::current_size_by_default;
}

std::string tag_text(std::span<const char> tag) {
    std::string text(tag.begin(), tag.end());
    for (char& c : text)
        if (c < ' ' || c > '~') c = '?';
    return text;
}

}  // namespace hyper::vhd
