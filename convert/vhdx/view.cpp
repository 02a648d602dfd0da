// SPDX-License-Identifier: Apache-2.0
// Design note. A VHDX view is laid out in closed form, every part at a whole MiB:
//
//     header section | log | metadata | BAT | blocks
//
// The log is there and empty, as the format demands. A dynamic view stores the allocated blocks one after the other in
// guest order, so the block of rank k stands at place k (AllocationIndex); a fixed one stores all. Blocks are 1 MiB by default,
// the least there is: less of a disk's holes is stored, at 8 bytes of BAT, computed when read, for each MiB of disk.
// The BAT has an entry for each chunk's sector bitmap too, which is absent: nothing is partially present.
//
// Of the first three MiB only a few 4 KiB pages are not zero; those are built at opening. Of the BAT, pages without
// an allocated block are zeros, and said to be.
#include <algorithm>
#include <bit>
#include <cerrno>

#include "blockengine/allocation_index.h"
#include "blockengine/block_cache.h"
#include "convert/vhdx/crc32c.h"
#include "convert/vhdx/structs.h"
#include "convert/vhdx/vhdx.h"

namespace hyper {

namespace vhdx {

namespace {

constexpr uint64_t page_bytes = 4096;
constexpr uint64_t log_offset = MiB, metadata_offset = 2 * MiB, bat_offset = 3 * MiB;
constexpr uint64_t items_offset = metadata_offset + metadata_table_bytes;
constexpr uint64_t block_bytes_default = MiB;
constexpr uint32_t logical_sector_bytes = 512, physical_sector_bytes = 4096;

// The only pages of the first three MiB that are not zeros, in order.
constexpr uint64_t page_offsets[] = {0, header_offsets[0], header_offsets[1], region_table_offsets[0],
                                     region_table_offsets[1], metadata_offset, items_offset};
constexpr size_t page_count = std::size(page_offsets);

class VhdxView : public Source, public Producer, public std::enable_shared_from_this<VhdxView> {
  public:
    // Without an index all blocks are stored.
    VhdxView(const ViewInput& input, uint64_t block_bytes, std::shared_ptr<const AllocationIndex> index);
    uint64_t size_bytes() const override { return data_offset_ + stored_count_ * block_bytes_; }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override;
    Result<void> produce(uint64_t offset, std::span<std::byte> out) const override;

  private:
    using Page = std::array<std::byte, page_bytes>;

    void build_headers(const Identity& identity);
    void build_region_tables();
    void build_metadata(const Identity& identity);
    void map_pages(uint64_t offset, uint64_t length, PieceList& out) const;
    void map_bat(uint64_t offset, uint64_t length, PieceList& out) const;
    // The first block whose entry is at or after this one; block_count where there is none.
    uint64_t block_from(uint64_t entry_index) const;
    void fill_bat_page(uint64_t page, std::span<std::byte> out) const;

    std::shared_ptr<const Source> disk_;
    std::shared_ptr<const AllocationIndex> index_;
    uint64_t block_bytes_;
    BatLayout bat_;
    uint64_t stored_count_, data_offset_;
    Page pages_[page_count] = {};
};

VhdxView::VhdxView(const ViewInput& input, uint64_t block_bytes, std::shared_ptr<const AllocationIndex> index)
    : disk_(input.disk),
      index_(std::move(index)),
      block_bytes_(block_bytes),
      bat_(disk_->size_bytes(), block_bytes, logical_sector_bytes, false),
      stored_count_(index_ ? index_->allocated_count() : bat_.block_count),
      data_offset_(bat_offset + std::max(MiB, round_up(bat_.entry_count * 8, MiB))) {
    build_headers(input.identity);
    build_region_tables();
    build_metadata(input.identity);
}

Guid derive_guid(const Identity& identity, std::string_view purpose) {
    return {swap_guid_order(identity.derive_uuid(purpose))};
}

void VhdxView::build_headers(const Identity& identity) {
    FileIdentifier identifier{};
    std::copy(file_signature.begin(), file_signature.end(), identifier.signature);
    std::u16string_view creator = u"hyper";
    std::copy(creator.begin(), creator.end(), identifier.creator);
    std::memcpy(pages_[0].data(), &identifier, sizeof identifier);
    for (size_t i = 0; i < 2; ++i) {
        Header header{};
        header.signature = header_signature;
        header.sequence_number = i + 1;
        header.file_write_guid = derive_guid(identity, "vhdx file write guid");
        header.data_write_guid = derive_guid(identity, "vhdx data write guid");
        header.version = 1;
        header.log_length = MiB;
        header.log_offset = log_offset;
        header.checksum = crc32c(bytes_of(header));
        std::memcpy(pages_[1 + i].data(), &header, sizeof header);
    }
}

void VhdxView::build_region_tables() {
    Bytes table(region_table_bytes);
    RegionTableHeader header{};
    header.signature = region_signature;
    header.entry_count = 2;
    RegionEntry entries[2] = {{bat_region, bat_offset, static_cast<uint32_t>(data_offset_ - bat_offset), 1},
                              {metadata_region, metadata_offset, static_cast<uint32_t>(MiB), 1}};
    std::memcpy(table.data() + sizeof header, entries, sizeof entries);
    std::memcpy(table.data(), &header, sizeof header);
    header.checksum = crc32c(table);
    std::memcpy(table.data(), &header, sizeof header);
    for (size_t page : {3, 4}) std::memcpy(pages_[page].data(), table.data(), page_bytes);
}

void VhdxView::build_metadata(const Identity& identity) {
    MetadataTableHeader header{};
    std::copy(metadata_signature.begin(), metadata_signature.end(), header.signature);
    uint32_t used = 0;
    uint16_t count = 0;
    auto add = [&](const Guid& item, uint32_t flags, std::span<const std::byte> value) {
        MetadataEntry entry{item, static_cast<uint32_t>(items_offset - metadata_offset) + used,
                            static_cast<uint32_t>(value.size()), flags | metadata_is_required, 0};
        std::memcpy(pages_[5].data() + sizeof header + count++ * sizeof entry, &entry, sizeof entry);
        std::memcpy(pages_[6].data() + used, value.data(), value.size());
        used += static_cast<uint32_t>(value.size());
    };
    FileParameters parameters{static_cast<uint32_t>(block_bytes_), index_ ? 0 : leave_blocks_allocated};
    Guid page83 = derive_guid(identity, "vhdx virtual disk id");
    add(file_parameters_item, 0, bytes_of(parameters));
    add(virtual_size_item, metadata_is_virtual_disk, bytes_of(le64(disk_->size_bytes())));
    add(page83_item, metadata_is_virtual_disk, page83.bytes);
    add(logical_sector_item, metadata_is_virtual_disk, bytes_of(le32(logical_sector_bytes)));
    add(physical_sector_item, metadata_is_virtual_disk, bytes_of(le32(physical_sector_bytes)));
    header.entry_count = count;
    std::memcpy(pages_[5].data(), &header, sizeof header);
}

Result<void> VhdxView::map(uint64_t offset, uint64_t length, PieceList& out) const {
    uint64_t end = offset + length;
    auto up_to = [&](uint64_t part_end, auto map_part) {
        if (offset >= part_end || offset >= end || out.full()) return;
        uint64_t before = out.length();
        map_part(std::min(end, part_end) - offset);
        offset += out.length() - before;
    };
    up_to(bat_offset, [&](uint64_t part) { map_pages(offset, part, out); });
    up_to(data_offset_, [&](uint64_t part) { map_bat(offset, part, out); });
    if (offset >= end || offset < data_offset_ || out.full()) return {};
    if (index_) return map_allocated(*disk_, *index_, offset - data_offset_, end - offset, out);
    return map_zero_extended(*disk_, offset - data_offset_, end - offset, out);
}

void VhdxView::map_pages(uint64_t offset, uint64_t length, PieceList& out) const {
    uint64_t end = offset + length;
    for (uint64_t page : page_offsets) {
        if (out.full() || offset >= end) return;
        if (page + page_bytes <= offset) continue;
        uint64_t start = std::clamp(page, offset, end), stop = std::min(page + page_bytes, end);
        out.zeros(start - offset);
        if (stop > start) out.computed(shared_from_this(), start, stop - start);
        offset = std::max(start, stop);
    }
    out.zeros(end - offset);
}

uint64_t VhdxView::block_from(uint64_t entry_index) const {
    uint64_t group = bat_.chunk_ratio + 1, chunk = entry_index / group, within = entry_index % group;
    return std::min(chunk * bat_.chunk_ratio + within, bat_.block_count);
}

void VhdxView::map_bat(uint64_t offset, uint64_t length, PieceList& out) const {
    uint64_t end = offset + length;
    while (offset < end && !out.full()) {
        uint64_t page = (offset - bat_offset) / page_bytes;
        // The page on which the next stored block has its entry.
        uint64_t block = block_from(page * page_bytes / 8), next_page = (data_offset_ - bat_offset) / page_bytes;
        if (index_ && block < bat_.block_count && !index_->allocated(block))
            block += index_->run_length(block, bat_.block_count - block);
        if (block < bat_.block_count) next_page = bat_.payload_index(block) * 8 / page_bytes;
        uint64_t stop = std::min(end, bat_offset + std::max(next_page, page + 1) * page_bytes);
        if (next_page > page)
            out.zeros(std::min(end, bat_offset + next_page * page_bytes) - offset);
        else
            out.computed(shared_from_this(), offset, stop - offset);
        offset = stop;
    }
}

void VhdxView::fill_bat_page(uint64_t page, std::span<std::byte> out) const {
    uint64_t first = page * page_bytes / 8, block = block_from(first);
    uint64_t rank = index_ ? index_->rank(block) : block;
    std::fill(out.begin(), out.end(), std::byte{0});
    for (; block < bat_.block_count; ++block) {
        uint64_t at = (bat_.payload_index(block) - first) * 8;
        if (at >= out.size()) break;
        if (index_ && !index_->allocated(block)) continue;
        store_le<uint64_t>(out.data() + at, (data_offset_ + rank++ * block_bytes_) | block_fully_present);
    }
}

// Offsets are those of the view.
Result<void> VhdxView::produce(uint64_t offset, std::span<std::byte> out) const {
    while (!out.empty()) {
        uint64_t start = round_down(offset, page_bytes), skip = offset - start;
        uint64_t take = std::min<uint64_t>(out.size(), page_bytes - skip);
        Page page = {};
        if (start >= bat_offset)
            fill_bat_page((start - bat_offset) / page_bytes, page);
        else if (auto* at = std::find(page_offsets, page_offsets + page_count, start); at != page_offsets + page_count)
            page = pages_[at - page_offsets];
        std::memcpy(out.data(), page.data() + skip, take);
        offset += take;
        out = out.subspan(take);
    }
    return {};
}

Result<std::shared_ptr<const Source>> make_view(const ViewInput& input, bool fixed) {
    uint64_t block_bytes = input.cluster_bytes != 0 ? input.cluster_bytes : block_bytes_default;
    if (!std::has_single_bit(block_bytes) || block_bytes < block_bytes_min || block_bytes > block_bytes_max)
        return fail(EINVAL, "{}: block size {} is not a power of two within 1..256 MiB", input.file_name, block_bytes);
    if (input.disk->size_bytes() > disk_bytes_max)
        return fail(EFBIG, "{}: the disk has {} bytes; a VHDX holds 64 TiB at most", input.file_name,
                    input.disk->size_bytes());
    std::shared_ptr<const AllocationIndex> index;
    if (!fixed) index = TRY(AllocationIndex::build(*input.disk, block_bytes));
    return std::make_shared<const VhdxView>(input, block_bytes, std::move(index));
}

}  // namespace

}  // namespace vhdx

Result<std::shared_ptr<const Source>> make_vhdx_dynamic_view(const ViewInput& input) {
    return vhdx::make_view(input, false);
}

Result<std::shared_ptr<const Source>> make_vhdx_fixed_view(const ViewInput& input) {
    return vhdx::make_view(input, true);
}

}  // namespace hyper
