// SPDX-License-Identifier: Apache-2.0
// A qcow2 file in which nothing is written yet, over another disk: what a machine writes goes there, and the rest is read from that disk.
#pragma once

#include <cstdint>
#include <string>

#include "blockengine/base/bytes.h"
#include "blockengine/base/result.h"
#include "convert/format.h"

namespace hyper {

struct Qcow2Overlay {
    Bytes head;               // from the file's first byte on
    uint64_t size_bytes = 0;  // of the file; what is not in `head` is zeros
};

// `backing` is a path or a URI, as whoever opens the file takes it; its format is named, so that nobody has to guess it. `disk_bytes` is
// rounded up to sectors of 512 bytes. Errors: EINVAL for a name that qcow2 has no room for (1023 bytes), EFBIG for too large a disk.
Result<Qcow2Overlay> empty_qcow2_overlay(uint64_t disk_bytes, const std::string& backing, Format backing_format);

}  // namespace hyper
