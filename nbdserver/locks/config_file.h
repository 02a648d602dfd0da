// SPDX-License-Identifier: Apache-2.0
// Small files that tell the server whom to trust: read whole, bounded, and secrets only from
// private ones.
#pragma once

#include <string>

#include "blockengine/base/result.h"

namespace hyper {

// More than any list of people, keys and certificates needs.
inline constexpr size_t config_bytes_max = 1024 * 1024;

// Errors: what open(2) and read(2) give; EINVAL for what is no regular file; EFBIG over
// config_bytes_max.
Result<std::string> read_config_file(const std::string& path);

// A secret, wiped from memory when it goes. Never to be logged, so there is no text of it.
class Secret {
  public:
    explicit Secret(std::string bytes) : bytes_(std::move(bytes)) {}
    Secret(Secret&& other) noexcept;
    Secret& operator=(Secret&&) = delete;
    ~Secret();
    const std::string& bytes() const { return bytes_; }

  private:
    std::string bytes_;
};

// As read_config_file(), from a file that nobody but its owner may read; one of root's may be
// readable for root's group, as the service manager's credentials are. Errors: also EPERM for one
// that others may read or write.
Result<Secret> read_secret_file(const std::string& path);

}  // namespace hyper
