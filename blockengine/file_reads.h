// SPDX-License-Identifier: Apache-2.0
// A batch of reads of files, of local and far ones: the one place where they part.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "blockengine/base/result.h"
#include "blockengine/far_reader.h"
#include "blockengine/file.h"
#include "blockengine/io.h"

namespace hyper {

// Reads of far files: all of one are begun together, so that neighbours among them become one. Bound to one thread.
class FarReads {
  public:
    // `file` must stay until the read has ended.
    void add(const File& file, FarReader::Read read) { by_reader_[file.far_reader()].push_back(std::move(read)); }
    void begin();

  private:
    std::map<FarReader*, std::vector<FarReader::Read>> by_reader_;
};

// Bound to one thread.
class FileReads {
  public:
    // Local files are read by `io`.
    explicit FileReads(Io& io) : io_(io) {}

    // `file` and `buffer` must stay until run() has returned.
    void add(const File& file, uint64_t offset, std::span<std::byte> buffer);

    // All reads are under way together; returns when all have ended, and each buffer is filled or one of the reads failed. Errors: EIO,
    // also past the end of a file; EAGAIN under NoWait where something is not at hand: then what is far has begun to come.
    Result<void> run();

  private:
    struct FarOp {
        const File* file;
        uint64_t offset;
        std::span<std::byte> buffer;
    };
    Result<void> run_local();
    Result<void> run_far();
    Result<void> take_at_hand();

    Io& io_;
    std::vector<ReadOp> local_;
    std::vector<const File*> local_files_;
    std::vector<FarOp> far_;
};

// A batch of one, without the lists.
Result<void> read_file(Io& io, const File& file, uint64_t offset, std::span<std::byte> buffer);

}  // namespace hyper
