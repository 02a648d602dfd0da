// SPDX-License-Identifier: Apache-2.0
// Reading a data file from front to back, whatever state it is in: for repair.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "blockengine/base/result.h"
#include "blockengine/file.h"
#include "blockengine/volume/data_format.h"

namespace hyper {

// A record whose header, entries and text are as they were written. Of the blocks nothing was read.
struct ScannedRecord {
    RecordHead head;
    uint64_t offset = 0;
    uint64_t end = 0;  // where the next one begins
    // Of a batch. Places say the file itself where the bytes are in it.
    std::span<const BatchEntry> entries;
    std::string_view text;  // of the others, JSON
    // So much of a batch's body lies past the file's end; the entries whose bytes do are lost.
    uint64_t missing_bytes = 0;
};

struct ScanVisitor {
    // In the order of the file. An error ends the scan.
    std::function<Result<void>(const ScannedRecord&)> record;
    // [offset, offset + length) holds no record that can be told, and should: multiples of 4096, but for the file's end.
    std::function<Result<void>(uint64_t offset, uint64_t length, const std::string& why)> damaged;
};

// `number` is the file's, `volume` whose it is: records of other files and volumes are none here. What is borrowed by the
// visitor is so for the call. Holds at most one record without its blocks in memory (record_text_bytes_max).
// Errors: what the visitor gives; EAGAIN. Bytes that cannot be read are damaged.
Result<void> scan_data_file(const File& file, uint32_t number, const VolumeId& volume, const ScanVisitor& visitor);

}  // namespace hyper
