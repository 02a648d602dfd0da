// SPDX-License-Identifier: Apache-2.0
// A disk that is written in place: a raw file, a block device, or what an NBD server exports.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "blockengine/engine.h"

namespace hyper::ctl {

// Thread-safe for ranges that do not overlap.
class WrittenDisk {
  public:
    virtual ~WrittenDisk() = default;
    virtual uint64_t size_bytes() const = 0;
    virtual Result<void> write(uint64_t offset, std::span<const std::byte> bytes) = 0;
    // The range reads as zeros afterwards, and takes no space where that can be.
    virtual Result<void> zero(uint64_t offset, uint64_t length) = 0;
    // What was written is on the disk on return.
    virtual Result<void> flush() = 0;
};

// `name` is a path, or an NBD URI. Its size stays what it is. Errors: EBUSY where another process writes the file; EROFS for an
// export that is read-only; those of opening and connecting.
Result<std::unique_ptr<WrittenDisk>> open_written_disk(Engine& engine, const std::string& name);

}  // namespace hyper::ctl
