// SPDX-License-Identifier: Apache-2.0
// The bytes of one image file: opened, mapped, read and checked. Nothing may crash, hang or take much memory.
//
// Each input is tried as it is, and once more with its checksums made right, since no mutation survives them.
#include <vector>

#include "convert/vhd/layout.h"
#include "tests/fuzz/fuzz_image.h"

namespace {

using namespace hyper;

// Makes the checksum right that stands `checksum_at` bytes into the structure of `length` bytes at `offset`.
void mend(std::vector<std::byte>& image, uint64_t offset, size_t length, size_t checksum_at) {
    if (!range_within(offset, length, image.size())) return;
    std::byte* structure = &image[offset];
    store_be<uint32_t>(structure + checksum_at, 0);
    uint32_t sum = 0;
    for (size_t i = 0; i < length; ++i) sum += std::to_integer<uint32_t>(structure[i]);
    store_be<uint32_t>(structure + checksum_at, ~sum);
}

void mend_footer(std::vector<std::byte>& image, uint64_t offset) {
    if (!range_within(offset, sizeof(vhd::Footer), image.size())) return;
    uint64_t header = load_be<uint64_t>(&image[offset + offsetof(vhd::Footer, data_offset)]);
    mend(image, header, sizeof(vhd::DynamicHeader), offsetof(vhd::DynamicHeader, checksum));
    mend(image, offset, sizeof(vhd::Footer), offsetof(vhd::Footer, checksum));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::span bytes(reinterpret_cast<const std::byte*>(data), size);
    fuzz_image(Format::vhd, bytes);
    std::vector<std::byte> mended(bytes.begin(), bytes.end());
    mend_footer(mended, 0);
    if (size >= sizeof(vhd::Footer)) mend_footer(mended, size - sizeof(vhd::Footer));
    return fuzz_image(Format::vhd, mended);
}
