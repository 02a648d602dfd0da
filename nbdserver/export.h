// SPDX-License-Identifier: Apache-2.0
// What clients are served: an export with its bytes and its metadata contexts, and the directory of all exports.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "blockengine/base/result.h"
#include "blockengine/source.h"
#include "blockengine/writable_disk.h"

namespace hyper::nbd {

// A metadata context: what a client can ask about ranges of an export by BLOCK_STATUS. Thread-safe.
class Context {
  public:
    explicit Context(std::string name) : name_(std::move(name)) {}
    virtual ~Context() = default;
    // "base:allocation"
    const std::string& name() const { return name_; }
    // Calls `visit` for runs of one state in order, from `offset` on, until it answers false or `length` is covered.
    // May wait for a disk.
    virtual Result<void> describe(uint64_t offset, uint64_t length,
                                  const std::function<bool(uint64_t length, uint64_t state)>& visit) const = 0;

  private:
    std::string name_;
};

// base:allocation of a source: holes, which read as zero, and data.
std::shared_ptr<const Context> allocation_context(std::shared_ptr<const Source> source);
// qemu:allocation-depth of a source: which layer of an image's chain provides the bytes, 1 being the image itself, 2 its parent;
// 0 where none does. Of what is no image, 1 throughout.
std::shared_ptr<const Context> depth_context(const std::shared_ptr<const Source>& source);

// Immutable; held by every connection to it.
struct Export {
    std::string name, description;
    std::shared_ptr<const Source> source;
    std::shared_ptr<WritableDisk> writable;  // nullptr: read-only
    // Another server that takes over has the same disk, with all that was written. Not so a draft or an overlay, which are this process's.
    bool movable = true;
    uint32_t preferred_bytes = 4096;         // a power of two
    std::vector<std::shared_ptr<const Context>> contexts;

    uint64_t size_bytes() const { return source->size_bytes(); }
};

struct Listed {
    std::string name, description;
    std::string disk;  // that it is, or is a view of
};

// Thread-safe. Its calls may wait for a disk.
class Directory {
  public:
    virtual ~Directory() = default;
    virtual std::vector<Listed> list() = 0;
    // The disk that a name is about, which is what rules speak of; empty for a name that is not known.
    virtual std::string disk_of(const std::string& name) = 0;
    // What an empty name means. Errors: EINVAL where nothing is meant.
    virtual Result<std::string> default_name() = 0;
    // `name` may be empty. Errors: ENOENT, EACCES, and what the source gives.
    virtual Result<std::shared_ptr<const Export>> open(const std::string& name) = 0;
};

}  // namespace hyper::nbd
