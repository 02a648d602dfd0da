// SPDX-License-Identifier: Apache-2.0
// What belongs to a generation besides its disk, as a machine's description: README.md, "Companions".
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "blockengine/volume/volume.h"

namespace hyper {

inline constexpr uint64_t companion_bytes_max = 64 << 20;
inline constexpr size_t companions_max = 64, companion_name_max = 64;

struct CompanionContent {
    std::string name, bytes;
};

// Whether it is one, and a file can have it: letters, digits, ".", "_" and "-", and no "." first.
bool is_companion_name(std::string_view name);

// What they are is on the disk on return, but belongs to no generation yet. Bound to the volume's writer. Errors: EINVAL for a name that is none
// or twice there, or too many; EFBIG.
Result<std::vector<Companion>> store_companions(const VolumePaths& paths, std::span<const CompanionContent> contents);

// Errors: ESTALE where the generation was pruned; EIO where it is missing, or not what was stored.
Result<std::string> read_companion(const Volume& volume, const Generation& generation, const Companion& companion);

// All of a generation's.
Result<std::vector<CompanionContent>> read_companions(const Volume& volume, const Generation& generation);

// Removes what belongs to none of these generations. Bound to the volume's writer.
Result<void> remove_other_companions(const VolumePaths& paths, const std::vector<Generation>& generations);

}  // namespace hyper
