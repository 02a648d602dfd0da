// SPDX-License-Identifier: Apache-2.0
// A generation of a volume, or what changed between two, as an image.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "convert/image.h"

namespace hyper {

// `options.snapshot` says which: a number, "latest" or nothing, a time as 2026-11-20T02:00Z, or FROM..TO: a disk that has the
// blocks that changed since FROM, as they are in TO, and holes elsewhere. Errors: ENOENT for a generation that is not there.
Result<std::shared_ptr<const Image>> open_volume(Engine& engine, const std::string& folder, const OpenOptions& options);

// Whether a name can mean a generation, whatever volume it is of.
bool is_generation_name(std::string_view name);

}  // namespace hyper
