// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/view_file.h"

#include <atomic>
#include <vector>

#include "blockengine/base/bytes.h"
#include "tools/hyperctl/data_walk.h"

namespace hyper::ctl {

namespace {

// The parts of `bytes` that are not zero, in whole blocks of the file system.
Result<uint64_t> write_data(const OutputFile& file, uint64_t offset, std::span<const std::byte> bytes) {
    constexpr uint64_t block_bytes = 4096;
    uint64_t written = 0;
    for (size_t at = 0; at < bytes.size();) {
        auto block = [&](size_t from) { return std::min(bytes.size() - from, block_bytes - (offset + from) % block_bytes); };
        size_t end = at;
        while (end < bytes.size() && !all_zero(bytes.subspan(end, block(end)))) end += block(end);
        if (end > at) TRY(file.write(offset + at, bytes.subspan(at, end - at)));
        written += end - at;
        at = end;
        if (at < bytes.size()) at += block(at);
    }
    return written;
}

}  // namespace

Result<uint64_t> write_data_of(Engine& engine, const Source& source, const OutputFile& file, Progress& progress) {
    DataWalk walk({&source});
    std::atomic<uint64_t> written{0};
    auto copy_chunk = [&](const Chunk& chunk) -> Result<void> {
        std::vector<std::byte> buffer(chunk.length);
        TRY(engine.read(source, chunk.offset, buffer));
        for (const Run& run : chunk.runs) {
            auto bytes = std::span<const std::byte>(buffer).subspan(run.offset - chunk.offset, run.length);
            written += TRY(write_data(file, run.offset, bytes));
            progress.add(run.length);
        }
        return {};
    };
    TRY(walk_in_threads(walk, reader_threads(), [](const Chunk&) { return false; }, copy_chunk));
    return written.load();
}

}  // namespace hyper::ctl
