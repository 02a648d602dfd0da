// SPDX-License-Identifier: Apache-2.0
#include "convert/vhd/block_table.h"

#include <algorithm>
#include <cerrno>

namespace hyper::vhd {

namespace {

bool all_ones(const Bytes& bitmap, uint64_t sectors) {
    uint64_t whole = sectors / 8;
    for (uint64_t i = 0; i < whole; ++i)
        if (bitmap[i] != std::byte{0xff}) return false;
    for (uint64_t sector = whole * 8; sector < sectors; ++sector)
        if (!BlockTable::has_sector(bitmap, sector)) return false;
    return true;
}

bool overlap(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length) {
    return a < b + b_length && b < a + a_length;
}

}  // namespace

Result<BlockTable> BlockTable::load(Engine& engine, std::shared_ptr<const File> file, const DynamicHeader& header,
                                    uint64_t header_offset, uint64_t disk_size, uint64_t data_end) {
    const std::string& path = file->path();
    uint32_t block_bytes = header.block_size;
    if (block_bytes < sector_bytes || !std::has_single_bit(block_bytes))
        return fail(EINVAL, "{}: dynamic header: block size {} is not a power of two of 512 or more", path,
                    block_bytes);
    uint64_t blocks = divide_up(disk_size, block_bytes);
    if (header.max_table_entries < blocks)
        return fail(EINVAL, "{}: dynamic header: max table entries {} are fewer than the {} blocks of the disk", path,
                    uint32_t{header.max_table_entries}, blocks);
    uint64_t table_bytes = blocks * sizeof(be32);
    if (table_bytes > table_bytes_max)
        return fail(EFBIG, "{}: a block allocation table of {} bytes is more than the {} that are read", path,
                    table_bytes, table_bytes_max);
    // Also the entries that the disk does not need must be there.
    uint64_t table_offset = header.table_offset, declared_bytes = header.max_table_entries * uint64_t{sizeof(be32)};
    if (!range_within(table_offset, declared_bytes, data_end))
        return fail(EINVAL, "{}: dynamic header: table offset {} with {} entries leads past the end of the file", path,
                    table_offset, uint32_t{header.max_table_entries});
    if (table_offset < sizeof(Footer) ||
        overlap(table_offset, declared_bytes, header_offset, sizeof(DynamicHeader)))
        return fail(EINVAL, "{}: dynamic header: table offset {} lies over the headers", path, table_offset);

    BlockTable table(engine, file, disk_size, block_bytes);
    table.entries_.resize(blocks);
    TRY(file->read(table_offset, std::as_writable_bytes(std::span(table.entries_))));
    for (uint32_t& entry : table.entries_) entry = swap_bytes(entry);
    table.known_full_ = std::vector<std::atomic<bool>>(blocks);
    TRY(table.check_places(header_offset, table_offset, data_end));
    return table;
}

Result<void> BlockTable::check_places(uint64_t header_offset, uint64_t table_offset, uint64_t data_end) {
    uint64_t before_data = bitmap_bytes(static_cast<uint32_t>(block_bytes_));
    uint64_t table_bytes = entries_.size() * sizeof(be32);
    std::vector<uint32_t> places;
    for (uint64_t block = 0; block < entries_.size(); ++block) {
        if (!allocated(block)) continue;
        places.push_back(entries_[block]);
        uint64_t offset = entries_[block] * sector_bytes, length = before_data + bytes_in(block);
        if (!range_within(offset, length, data_end))
            return fail(EINVAL,
                        "{}: BAT entry {}: the block at offset {} leads past the end of the file (truncated?)",
                        file_->path(), block, offset);
        if (offset < sizeof(Footer) || overlap(offset, length, header_offset, sizeof(DynamicHeader)) ||
            overlap(offset, length, table_offset, table_bytes))
            return fail(EINVAL, "{}: BAT entry {}: the block at offset {} lies over the headers or the table",
                        file_->path(), block, offset);
    }
    allocated_count_ = places.size();
    return check_overlaps(std::move(places));
}

Result<void> BlockTable::check_overlaps(std::vector<uint32_t> places) const {
    if (!std::ranges::is_sorted(places)) std::ranges::sort(places);
    uint64_t stride = bitmap_bytes(static_cast<uint32_t>(block_bytes_)) + block_bytes_;
    for (size_t i = 1; i < places.size(); ++i)
        if ((places[i] - places[i - 1]) * sector_bytes < stride)
            return fail(EINVAL, "{}: BAT: the blocks at offsets {} and {} overlap; a block takes {} bytes",
                        file_->path(), places[i - 1] * sector_bytes, places[i] * sector_bytes, stride);
    return {};
}

uint64_t BlockTable::absent_run(uint64_t block, uint64_t limit) const {
    uint64_t count = 0;
    while (count < limit && !allocated(block + count)) ++count;
    return count;
}

uint64_t BlockTable::data_offset(uint64_t block) const {
    return entries_[block] * sector_bytes + bitmap_bytes(static_cast<uint32_t>(block_bytes_));
}

Result<std::shared_ptr<const Bytes>> BlockTable::bitmap(uint64_t block) const {
    if (known_full_[block].load(std::memory_order_relaxed)) return nullptr;
    auto bits = TRY(engine_->cache().read(*file_, entries_[block] * sector_bytes,
                                          bitmap_bytes(static_cast<uint32_t>(block_bytes_))));
    if (!all_ones(*bits, divide_up(bytes_in(block), sector_bytes))) return bits;
    known_full_[block].store(true, std::memory_order_relaxed);
    return nullptr;
}

}  // namespace hyper::vhd
