// SPDX-License-Identifier: Apache-2.0
// A file of records that is only appended to. What append() returned for is on the disk; a record that was being written at a power cut is not there
// after it, and neither is what a disk has damaged: each has its hash. Wherever a record cannot be read, the next that can goes on.
//
//     record: "HCFEED1\n", length of the payload (4 bytes), when it was received (8: seconds of UTC since 1970), XXH3-128 of these twelve bytes
//     and the payload (16), the payload. Integers are little-endian.
#pragma once

#include <string>
#include <vector>

#include "blockengine/base/bytes.h"
#include "blockengine/base/instant.h"
#include "blockengine/base/unique_fd.h"

namespace hyper::carbon {

struct FileRecord {
    Instant received_at{};
    Bytes payload;
};

// Bound to one thread at a time; one process at a time may have it open (FeedStore sees to that).
class RecordFile {
  public:
    static constexpr size_t payload_bytes_max = 256 << 10, file_bytes_max = 64 << 20;

    // Makes it where it is not there; a tail that is no record is cut off. EFBIG above file_bytes_max.
    static Result<RecordFile> open(const std::string& path);

    // What open() found, in order; given away.
    std::vector<FileRecord> take_records() { return std::move(records_); }
    uint64_t damaged_bytes() const { return damaged_bytes_; }
    const std::string& path() const { return path_; }

    // All of them, or after a power cut the first of them. EFBIG where the file would become too long: replace() makes room.
    Result<void> append(const std::vector<FileRecord>& records);
    // All or nothing: a power cut leaves the old ones or these.
    Result<void> replace(const std::vector<FileRecord>& records);

  private:
    RecordFile(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
    Result<void> read();

    std::string path_;
    UniqueFd fd_;
    std::vector<FileRecord> records_;
    uint64_t size_bytes_ = 0, damaged_bytes_ = 0;
};

}  // namespace hyper::carbon
