// SPDX-License-Identifier: Apache-2.0
// Design note. A guest range goes block by block through the BAT, whose entry says: zeros, the parent's, in this file, or (of
// a differencing disk) sector by sector as the chunk's sector bitmap says. BAT and bitmaps are read in pages through the engine's
// block cache, so memory does not grow with the disk. Everything of the file is read through
// ReplayedFile, also the payload: a log may hold sectors of any part of the file.
#include <algorithm>
#include <bit>
#include <cerrno>

#include "convert/vhdx/tables.h"
#include "convert/vhdx/vhdx.h"

namespace hyper {

namespace vhdx {

namespace {

constexpr uint64_t page_bytes = 64 * KiB;

class VhdxImage : public Image {
  public:
    VhdxImage(Engine& engine, Tables tables);
    Result<void> open_parent(Opening& opening);
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override;

  private:
    // Words of the BAT or of a bitmap; keeps the page that it read last.
    class Cursor {
      public:
        explicit Cursor(const VhdxImage& image) : image_(image) {}
        Result<uint64_t> word(uint64_t file_offset);

      private:
        const VhdxImage& image_;
        uint64_t page_offset_ = ~uint64_t{0};
        std::shared_ptr<const Bytes> page_;
    };

    Result<std::shared_ptr<const Bytes>> page(uint64_t file_offset) const;
    Result<uint64_t> bat_entry(Cursor& bat, uint64_t index) const;
    // The file offset in a BAT entry, if `length` bytes there are inside the file and outside its structures.
    Result<uint64_t> place(uint64_t entry, uint64_t index, std::string_view what, uint64_t number, uint64_t length) const;
    Result<void> map_partial(Cursor& bat, uint64_t own_offset, uint64_t offset, uint64_t length, PieceList& out) const;
    uint64_t same_blocks(Cursor& bat, uint64_t block, uint64_t length) const;

    Engine& engine_;
    Tables tables_;
    BatLayout layout_;
};

VhdxImage::VhdxImage(Engine& engine, Tables tables)
    : Image(*tables.file->file()),
      engine_(engine),
      tables_(std::move(tables)),
      layout_(tables_.virtual_bytes, tables_.block_bytes, tables_.logical_sector_bytes, tables_.has_parent) {
    size_bytes_ = tables_.virtual_bytes;
    info_.format = Format::vhdx;
    info_.subformat = tables_.has_parent ? "differencing" : tables_.leave_blocks_allocated ? "fixed" : "dynamic";
    info_.logical_sector_bytes = tables_.logical_sector_bytes;
    info_.details = {{"block size", fmt::format("{}", tables_.block_bytes)},
                     {"physical sector size", fmt::format("{}", tables_.physical_sector_bytes)}};
    if (tables_.replayed_entries > 0)
        info_.warnings.push_back(fmt::format("the log was not replayed when the image was last in use: its {} entries are "
                                             "replayed in memory",
                                             tables_.replayed_entries));
}

Result<void> VhdxImage::open_parent(Opening& opening) {
    const File& file = *tables_.file->file();
    auto locator = TRY(parse_parent_locator(path_, tables_.parent_locator));
    auto linkage = locator.value("parent_linkage"), linkage2 = locator.value("parent_linkage2");
    if (!linkage) return fail(EINVAL, "{}: parent locator: the key parent_linkage is missing", path_);
    std::shared_ptr<const File> parent_file;
    Error first_error{EINVAL, fmt::format("{}: parent locator: it names no path", path_)};
    bool tried = false;
    for (std::string_view key : {"relative_path", "absolute_win32_path", "volume_path"}) {
        auto name = locator.value(key);
        if (!name || parent_file) continue;
        std::replace(name->begin(), name->end(), '\\', '/');
        auto opened = opening.open_reference(file, fmt::format("parent locator {}", key), *name);
        if (opened)
            parent_file = *opened;
        else if (!std::exchange(tried, true))
            first_error = opened.error();
    }
    if (!parent_file) return tl::unexpected(first_error);
    // A parent is a VHDX file whatever its name: only such a one has the GUID that is compared.
    parent_ = TRY(opening.open(parent_file, Format::vhdx));
    auto guid = guid_text(static_cast<const VhdxImage&>(*parent_).tables_.data_write_guid);
    auto matches = [&](std::string text) {
        std::transform(text.begin(), text.end(), text.begin(), [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c; });
        return text == "{" + guid + "}" || text == guid;
    };
    if (!matches(*linkage) && !(linkage2 && matches(*linkage2)))
        return fail(EINVAL, "{}: parent locator: parent_linkage {} is not the DataWriteGuid {{{}}} of {}: the parent "
                    "was changed or is another disk", path_, *linkage, guid, parent_->path());
    auto& digest = parent_->identity().digest;
    identity_ = identity_.with({reinterpret_cast<const char*>(digest.data()), digest.size()});
    info_.details.push_back({"parent", parent_->path()});
    return {};
}

Result<std::shared_ptr<const Bytes>> VhdxImage::page(uint64_t file_offset) const {
    uint64_t id = tables_.file->file()->id();
    if (auto cached = engine_.cache().get(id, file_offset)) return cached;
    auto bytes = std::make_shared<Bytes>(page_bytes);
    TRY(engine_.read(*tables_.file, file_offset, *bytes));
    engine_.cache().put(id, file_offset, bytes);
    return bytes;
}

Result<uint64_t> VhdxImage::Cursor::word(uint64_t file_offset) {
    uint64_t start = round_down(file_offset, page_bytes);
    if (start != page_offset_) {
        page_ = TRY(image_.page(start));
        page_offset_ = start;
    }
    return load_le<uint64_t>(page_->data() + (file_offset - start));
}

Result<uint64_t> VhdxImage::bat_entry(Cursor& bat, uint64_t index) const {
    return bat.word(tables_.bat.offset + index * 8);
}

Result<uint64_t> VhdxImage::place(uint64_t entry, uint64_t index, std::string_view what, uint64_t number,
                                  uint64_t length) const {
    uint64_t offset = round_down(entry, MiB);
    if ((entry & bat_reserved_mask) != 0)
        return fail(EIO, "{}: BAT entry {} ({} {}): {:#x} has reserved bits set", path_, index, what, number, entry);
    if (!range_within(offset, length, tables_.file->size_bytes()))
        return fail(EIO, "{}: BAT entry {} ({} {}): offset {} and {} bytes lie past the end of the file ({} bytes)",
                    path_, index, what, number, offset, length, tables_.file->size_bytes());
    auto region = std::partition_point(tables_.regions.begin(), tables_.regions.end(), [&](const Region& r) {
        return r.offset + r.length <= offset;
    });
    if (region != tables_.regions.end() && region->offset < offset + length)
        return fail(EIO, "{}: BAT entry {} ({} {}): offset {} lies over the {}", path_, index, what, number, offset,
                    region->name);
    return offset;
}

// How many bytes from `length` on belong to following blocks that are the parent's too.
uint64_t VhdxImage::same_blocks(Cursor& bat, uint64_t block, uint64_t length) const {
    uint64_t more = 0;
    while (more < length) {
        auto entry = bat_entry(bat, layout_.payload_index(++block));
        if (!entry || (*entry & bat_state_mask) != block_not_present) break;
        more += std::min<uint64_t>(tables_.block_bytes, length - more);
    }
    return more;
}

Result<void> VhdxImage::map(uint64_t offset, uint64_t length, PieceList& out) const {
    Cursor bat(*this);
    while (length > 0 && !out.full()) {
        uint64_t block = offset / tables_.block_bytes, within = offset % tables_.block_bytes;
        uint64_t index = layout_.payload_index(block), take = std::min(length, tables_.block_bytes - within);
        // Of the last block only what the disk has need be in the file: so qemu-img writes fixed images.
        uint64_t used = std::min<uint64_t>(tables_.block_bytes, size_bytes_ - (offset - within));
        uint64_t entry = TRY(bat_entry(bat, index)), before = out.length();
        switch (entry & bat_state_mask) {
            case block_not_present:
                if (parent_) take += same_blocks(bat, block, length - take);
                TRY(map_parent(parent_.get(), offset, take, out));
                break;
            // The parent does not show through any of these ([MS-VHDX] 2.5.1.1).
            case block_undefined:
            case block_zero:
            case block_unmapped: out.zeros(take); break;
            case block_fully_present: {
                uint64_t place_offset = TRY(place(entry, index, "block", block, used));
                TRY(tables_.file->map(place_offset + within, take, out));
                break;
            }
            case block_partially_present: {
                if (!parent_)
                    return fail(EIO, "{}: BAT entry {} (block {}): partially present, but the disk has no parent", path_,
                                index, block);
                uint64_t place_offset = TRY(place(entry, index, "block", block, used));
                TRY(map_partial(bat, place_offset + within, offset, take, out));
                break;
            }
            default:
                return fail(EIO, "{}: BAT entry {} (block {}): state {} is reserved", path_, index, block,
                            entry & bat_state_mask);
        }
        uint64_t done = out.length() - before;
        offset += done;
        length -= done;
    }
    return {};
}

// [offset, offset + length) lies within one block, whose part from `offset` on is at `own_offset` of the file.
Result<void> VhdxImage::map_partial(Cursor& bat, uint64_t own_offset, uint64_t offset, uint64_t length,
                                    PieceList& out) const {
    uint64_t sector_size = tables_.logical_sector_bytes, chunk = offset / (sectors_per_chunk * sector_size);
    uint64_t index = layout_.bitmap_index(chunk), entry = TRY(bat_entry(bat, index));
    if ((entry & bat_state_mask) != block_fully_present)
        return fail(EIO, "{}: BAT entry {} (sector bitmap {}): state {}, but a block of the chunk is partially present",
                    path_, index, chunk, entry & bat_state_mask);
    uint64_t bitmap = TRY(place(entry, index, "sector bitmap", chunk, bitmap_block_bytes));
    Cursor bits(*this);
    uint64_t end = offset + length;
    // The sector `at / sector_size` is told by its bit in a word of 64; equal bits that follow join it.
    auto run_end = [&](uint64_t at, bool& own) -> Result<uint64_t> {
        for (bool first = true; at < end; first = false) {
            uint64_t sector = at / sector_size % sectors_per_chunk;
            uint64_t word = TRY(bits.word(bitmap + sector / 64 * 8)) >> (sector % 64), left = 64 - sector % 64;
            if (first) own = (word & 1) != 0;
            uint64_t same = std::min<uint64_t>(static_cast<uint64_t>(std::countr_one(own ? word : ~word)), left);
            if (same > 0) at = (at / sector_size + same) * sector_size;
            if (same < left) break;
        }
        return std::min(at, end);
    };
    while (offset < end && !out.full()) {
        bool own = false;
        uint64_t stop = TRY(run_end(offset, own)), before = out.length();
        if (own)
            TRY(tables_.file->map(own_offset, stop - offset, out));
        else
            TRY(map_parent(parent_.get(), offset, stop - offset, out));
        own_offset += out.length() - before;
        offset += out.length() - before;
    }
    return {};
}

}  // namespace

}  // namespace vhdx

Result<std::shared_ptr<const Image>> open_vhdx(Opening& opening, std::shared_ptr<const File> file) {
    auto tables = TRY(vhdx::read_tables(opening.engine(), std::move(file)));
    TRY(opening.hold_tables(*tables.file->file(), tables.file->memory_bytes()));
    bool has_parent = tables.has_parent;
    auto image = std::make_shared<vhdx::VhdxImage>(opening.engine(), std::move(tables));
    if (has_parent) TRY(image->open_parent(opening));
    return image;
}

}  // namespace hyper
