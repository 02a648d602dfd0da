// SPDX-License-Identifier: Apache-2.0
// What tests of data files share: blocks to store, and what a scan finds.
#pragma once

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "blockengine/base/hex.h"
#include "blockengine/volume/data_file.h"
#include "blockengine/volume/data_scan.h"
#include "tests/support/faulty_io.h"
#include "tests/support/support.h"

namespace hyper::test {

inline VolumeId some_volume_id(int which = 1) {
    VolumeId id{};
    id.fill(static_cast<std::byte>(which));
    return id;
}

inline std::vector<std::byte> random_bytes(size_t count, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<std::byte> bytes(count);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    return bytes;
}

// Blocks from `first` on, with contents of their own.
struct SomeBlocks {
    SomeBlocks(uint64_t first, std::vector<size_t> sizes) {
        for (size_t size : sizes) contents.push_back(random_bytes(size, first + contents.size()));
        for (size_t i = 0; i < contents.size(); ++i)
            blocks.push_back({first + i, BlockCodec::plain, xxh3_128(contents[i]), contents[i], {}});
    }
    std::vector<std::vector<std::byte>> contents;
    std::vector<StoredBlock> blocks;
};

// One line a record or a damaged range, to be compared.
inline std::vector<std::string> scan_lines(const File& file, uint32_t number, const VolumeId& id = some_volume_id()) {
    std::vector<std::string> lines;
    ScanVisitor visitor;
    visitor.record = [&](const ScannedRecord& record) -> Result<void> {
        std::string line = fmt::format("{}..{} kind {} generation {} attempt {} sequence {}", record.offset, record.end,
                                       static_cast<uint32_t>(record.head.kind), record.head.generation, record.head.attempt,
                                       record.head.sequence);
        for (const auto& [block, entry, in_body] : record.entries)
            line += fmt::format(" [{}: {} {}+{}+{} {}{}]", block, static_cast<int>(entry.codec), entry.place.file,
                                entry.place.offset, entry.place.stored_bytes, hex(entry.hash), in_body ? " here" : "");
        if (!record.text.empty()) line += " " + std::string(record.text);
        if (record.missing_bytes > 0) line += fmt::format(" missing {}", record.missing_bytes);
        lines.push_back(line);
        return {};
    };
    visitor.damaged = [&](uint64_t offset, uint64_t length, const std::string&) -> Result<void> {
        lines.push_back(fmt::format("damaged {}+{}", offset, length));
        return {};
    };
    auto result = scan_data_file(file, number, id, visitor);
    EXPECT_TRUE(result) << result.error().message;
    return lines;
}

inline std::vector<std::string> scan_path(const std::string& path, uint32_t number) {
    auto file = File::open(path, engine().io());
    if (!file) return {file.error().message};
    return scan_lines(**file, number);
}

}  // namespace hyper::test
