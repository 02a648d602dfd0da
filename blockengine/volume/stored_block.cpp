// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/stored_block.h"

#include <cerrno>

#include "blockengine/codec.h"

namespace hyper {

Judged judge(const Volume& volume, const BlockEntry& entry) {
    if (entry.codec == BlockCodec::zeros) return {};
    if (entry.codec == BlockCodec::lost) return {Verdict::corrupt, "lost before"};
    const Place& place = entry.place;
    std::string where = fmt::format("{}: {} bytes at offset {}", volume.paths().data_file(place.file), place.stored_bytes, place.offset);
    auto file = volume.data_file(place.file, place.offset + place.stored_bytes);
    if (!file) return {file.error().code == ENOENT ? Verdict::corrupt : Verdict::could_not_tell, file.error().message};
    if ((*file)->size_bytes() < place.offset + place.stored_bytes || place.stored_bytes > block_bytes_max)
        return {Verdict::corrupt, where + ": past the end of the file"};
    Bytes stored(place.stored_bytes);
    if (auto read = (*file)->read(place.offset, stored); !read) return {Verdict::could_not_tell, read.error().message};
    if (entry.codec == BlockCodec::zstd) {
        Bytes content(unpacked_bytes(Codec::zstd, stored).value_or(0));
        if (content.empty() || content.size() > block_bytes_max || !unpack(Codec::zstd, stored, content))
            return {Verdict::corrupt, where + ": cannot be unpacked"};
        stored = std::move(content);
    }
    if (xxh3_128(stored) != entry.hash) return {Verdict::corrupt, where + ": the hash differs"};
    return {};
}

}  // namespace hyper
