// SPDX-License-Identifier: Apache-2.0
// The bytes of one image file: opened, mapped, read and checked. Nothing may crash, hang or take much memory.
#include "tests/fuzz/fuzz_image.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    return hyper::fuzz_image(hyper::Format::vhd, {reinterpret_cast<const std::byte*>(data), size});
}
