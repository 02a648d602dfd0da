// SPDX-License-Identifier: Apache-2.0
// The image formats and their names, as qemu-img has them ("vpc" is accepted for "vhd").
#pragma once

#include <optional>
#include <string_view>

namespace hyper {

// A volume is a folder (blockengine/volume), which is read as an image and never made as a view.
enum class Format { raw, qcow2, vmdk, vhd, vhdx, volume };

std::string_view format_name(Format format);
std::optional<Format> parse_format(std::string_view name);

// What a file name's suffix says: .raw .img .qcow2 .vmdk .vhd .vpc .vhdx .volume (and .avhd .avhdx). nullopt for others.
std::optional<Format> format_of_file_name(std::string_view file_name);
// The file name without such a suffix; unchanged where there is none.
std::string_view strip_format_suffix(std::string_view file_name);

}  // namespace hyper
