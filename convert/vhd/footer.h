// SPDX-License-Identifier: Apache-2.0
// What reader and views know about footers: checksum, geometry, and which size counts.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "convert/vhd/layout.h"

namespace hyper::vhd {

// The one's complement of the sum of all bytes, taken with the structure's checksum field as zero.
uint32_t checksum_of(const Footer& footer);
uint32_t checksum_of(const DynamicHeader& header);

// The specification's appendix: the geometry for a disk of `size` bytes, rounding down.
Geometry geometry_of(uint64_t size);
inline constexpr uint64_t geometry_sectors_max = uint64_t{65535} * 16 * 255;

// Which of a footer's two sizes its creator means.
enum class SizeRule { geometry, current_size, current_size_by_default };
SizeRule size_rule(const Footer& footer);

// Printable, for messages: other characters become '?'.
std::string tag_text(std::span<const char> tag);

}  // namespace hyper::vhd
