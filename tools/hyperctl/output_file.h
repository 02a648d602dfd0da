// SPDX-License-Identifier: Apache-2.0
// A file that is there only when it is whole: written beside its place under a hidden name, and renamed at the end.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "blockengine/base/result.h"

namespace hyper::ctl {

// write() is thread-safe for ranges that do not overlap; the rest is bound to one thread.
class OutputFile {
  public:
    // `size_bytes` of holes, in the folder of `path`. Errors: EEXIST where there is something at `path`, unless
    // `overwrite` and it is a file; what the system says.
    static Result<OutputFile> create(const std::string& path, uint64_t size_bytes, bool overwrite);
    OutputFile(OutputFile&& other) noexcept;
    OutputFile& operator=(OutputFile&&) = delete;
    // What was not finished is removed.
    ~OutputFile();

    Result<void> write(uint64_t offset, std::span<const std::byte> bytes) const;
    // The content is on the disk when this returns, still under the hidden name.
    Result<void> sync();
    // The file takes its name, which is on the disk too when this returns. Errors: EEXIST where another got the name
    // first and it is not to be overwritten.
    Result<void> publish();

    const std::string& path() const { return path_; }

  private:
    OutputFile(std::string path, std::string hidden_path, int fd, bool overwrite)
        : path_(std::move(path)), hidden_path_(std::move(hidden_path)), fd_(fd), overwrite_(overwrite) {}

    std::string path_, hidden_path_;  // hidden_path_ is empty once published
    int fd_;
    bool overwrite_;
};

}  // namespace hyper::ctl
