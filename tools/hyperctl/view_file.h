// SPDX-License-Identifier: Apache-2.0
// A view, or a disk, written to a file. For export and restore.
#pragma once

#include "blockengine/engine.h"
#include "tools/hyperctl/output_file.h"
#include "tools/hyperctl/progress.h"

namespace hyper::ctl {

// Writes what of the source is not zero, by several readers; the file has its size and is of holes. Gives the bytes written.
Result<uint64_t> write_data_of(Engine& engine, const Source& source, const OutputFile& file, Progress& progress);

}  // namespace hyper::ctl
