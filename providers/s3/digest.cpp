// SPDX-License-Identifier: Apache-2.0
#include "providers/s3/digest.h"

#include <fmt/format.h>
#include <nettle/base64.h>
#include <nettle/md5.h>

namespace hyper::s3 {

Md5 md5(std::span<const std::byte> bytes) {
    md5_ctx context;
    md5_init(&context);
    md5_update(&context, bytes.size(), reinterpret_cast<const uint8_t*>(bytes.data()));
    Md5 hash;
    static_assert(MD5_DIGEST_SIZE == sizeof hash);
    md5_digest(&context, sizeof hash, reinterpret_cast<uint8_t*>(hash.data()));
    return hash;
}

std::string md5_text(const Md5& hash) {
    std::string text;
    for (std::byte byte : hash) text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
    return text;
}

std::string base64_of(std::span<const std::byte> bytes) {
    std::string text(BASE64_ENCODE_RAW_LENGTH(bytes.size()), '\0');
    base64_encode_raw(text.data(), bytes.size(), reinterpret_cast<const uint8_t*>(bytes.data()));
    return text;
}

}  // namespace hyper::s3
