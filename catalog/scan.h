// SPDX-License-Identifier: Apache-2.0
// Which image files the specs of a command line mean. Nothing is opened but VMDKs, whose first bytes
// tell a disk from an extent of one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "blockengine/base/result.h"

namespace hyper {

struct FoundImage {
    std::string name;       // of the disk: "web01/root"
    std::string path;       // of the file; where it is a symbolic link in a directory, of what it leads to
    std::string directory;  // the directory spec that it was found in; empty for a file spec
    std::string problem;    // why it cannot be served; empty if nothing is known
};

// Bounds of a search: what lies deeper, or comes later, is left out with a warning in the log.
inline constexpr int scan_depth_max = 16;
inline constexpr size_t scan_entries_max = 100'000;

// The images that `spec` means: itself where it is a file, block device or a provider's URI; all in it where it is a directory.
// In a directory only files with a suffix of convert/format.h count; hidden ones, links to directories, links that
// lead out of it, and extents of VMDKs do not. Errors: ENOENT and such from the system.
Result<std::vector<FoundImage>> scan_spec(const std::string& spec);

// Sorts by name. Where several have one name (and are not the same file), each gets a problem that names the others.
void mark_collisions(std::vector<FoundImage>& images);

}  // namespace hyper
