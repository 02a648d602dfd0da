// SPDX-License-Identifier: Apache-2.0
// What stores of objects check parts by, by nettle: MD5, which is their ETag, and base64. Not for security: that is the signature's.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>

namespace hyper::s3 {

using Md5 = std::array<std::byte, 16>;

Md5 md5(std::span<const std::byte> bytes);
std::string md5_text(const Md5& hash);
std::string base64_of(std::span<const std::byte> bytes);

}  // namespace hyper::s3
