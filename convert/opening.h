// SPDX-License-Identifier: Apache-2.0
// What a format's reader gets to open an image: the engine, the options, and the only ways to follow a
// name that stands inside an image. Used by the format folders and by image.cpp alone.
//
// Names inside images are hostile. They are plain file names, relative to the image's folder or absolute, and are
// opened beneath that folder or an allowed one (openat2 with RESOLVE_BENEATH), so neither "..", a symbolic link nor
// a magic link leads out. Anything that looks like a URL or "json:" is refused.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "convert/image.h"

namespace hyper {

// Bound to one thread; lives for one open_image() call.
class Opening {
  public:
    static constexpr size_t chain_length_max = 64;
    static constexpr uint64_t table_bytes_max = 128 << 20;

    Opening(Engine& engine, const OpenOptions& options) : engine_(engine), options_(options) {}

    Engine& engine() { return engine_; }
    const OpenOptions& options() const { return options_; }

    // Opens the file that `field` of the image `referrer` names. Errors: EPERM where the rules forbid it.
    Result<std::shared_ptr<const File>> open_reference(const File& referrer, std::string_view field,
                                                       std::string_view name);
    // Opens the image that `field` of the image `referrer` names as its parent. Errors: ELOOP besides.
    // Without `format` the parent's file name decides, as for any image.
    Result<std::shared_ptr<const Image>> open_parent(const File& referrer, std::string_view field,
                                                     std::string_view name, std::optional<Format> format);
    // Opens `file` as an image of the given format.
    Result<std::shared_ptr<const Image>> open(std::shared_ptr<const File> file, std::optional<Format> format);

    // To be told of the memory in which the image in `file` holds its tables, before its parent is opened: a chain's tables
    // together are bounded, not each alone. Errors: EFBIG.
    Result<void> hold_tables(const File& file, uint64_t bytes);

  private:
    Engine& engine_;
    OpenOptions options_;
    std::vector<std::pair<uint64_t, uint64_t>> chain_;  // (device, inode) of the images being opened
    uint64_t table_bytes_ = 0;
};

}  // namespace hyper
