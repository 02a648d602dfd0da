// SPDX-License-Identifier: Apache-2.0
// What every image parser is put through with arbitrary bytes.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "blockengine/base/bytes.h"
#include "convert/check.h"
#include "convert/image.h"
#include "convert/opening.h"

namespace hyper {

// What the files of all inputs are read with.
inline Io& fuzz_io() {
    static std::unique_ptr<Io> io = make_pread_io();
    return *io;
}

// Opens the file as an image (references to other files lead into an empty folder), reads its
// first and last bytes and some in between, walks a bounded number of extents, and runs the checker.
inline int fuzz_file(Format format, std::shared_ptr<const File> file) {
    // Its cache is this input's alone: what stayed in memory would make libFuzzer look for leaks after each input.
    Engine engine(make_pread_io());
    (void)check_image(engine, FileSource(file), format);
    OpenOptions options;
    Opening opening(engine, options);
    auto image = opening.open(file, format);
    if (!image) {
        if (image.error().message.empty() || image.error().code == 0) std::abort();
        return 0;
    }
    const Source& disk = **image;
    if (disk.size_bytes() > disk_bytes_max) std::abort();
    std::vector<std::byte> buffer(std::min<uint64_t>(disk.size_bytes(), 256 * KiB));
    for (uint64_t part = 0; part <= 4 && !buffer.empty(); ++part)
        (void)engine.read(disk, (disk.size_bytes() - buffer.size()) / 4 * part, buffer);
    int extents = 0;
    if (disk.size_bytes() > 0)
        (void)visit_extents(disk, 0, disk.size_bytes(), [&](const Extent&) { return ++extents < 1000; });
    return 0;
}

// The same with bytes in memory.
inline int fuzz_image(Format format, std::span<const std::byte> bytes) {
    auto file = File::from_bytes(bytes, "/nonexistent/fuzz", fuzz_io());
    if (!file) std::abort();
    return fuzz_file(format, *file);
}

}  // namespace hyper
