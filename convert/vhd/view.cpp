// SPDX-License-Identifier: Apache-2.0
// VHD views.
//
// Design note. Fixed is the disk with a footer behind it. Dynamic is laid out as
//
//     footer copy | dynamic header | BAT, padded to a sector | allocated blocks in guest order | footer
//
// where a block is one sector of bitmap and 2 MiB of data, so every place follows from the allocation index's rank and
// select. The bitmaps are all ones, also behind the end of a disk that ends within its last block: QEMU does not look at them,
// libvhdi does, and 7-Zip refuses a zero one. Footers and header are made once; BAT and bitmaps when they are read.
//
// The creator is "win ", for which every reader takes the current size, not the geometry, which has to round.
#include <algorithm>
#include <cerrno>
#include <memory>

#include "blockengine/allocation_index.h"
#include "convert/vhd/footer.h"
#include "convert/vhd/layout.h"
#include "convert/vhd/vhd.h"

namespace hyper {

namespace {

using namespace vhd;

constexpr uint32_t block_bytes = 2 * MiB;
constexpr uint64_t header_offset = sizeof(Footer);
constexpr uint64_t table_offset = header_offset + sizeof(DynamicHeader);
constexpr uint64_t stride_bytes = bitmap_bytes(block_bytes) + block_bytes;

Result<Footer> make_footer(const ViewInput& input, DiskType type) {
    uint64_t size = input.disk->size_bytes();
    if (size == 0 || size % sector_bytes != 0)
        return fail(EINVAL, "{}: a disk of {} bytes is not a whole number of sectors", input.file_name, size);
    if (size > disk_size_max)
        return fail(EFBIG, "{}: a disk of {} bytes does not fit into vhd, which ends at 2040 GiB (try vhdx)",
                    input.file_name, size);
    Footer footer{};
    footer.cookie = footer_cookie;
    footer.features = features_reserved;
    footer.version = format_version;
    footer.data_offset = type == type_fixed ? no_offset : header_offset;
    footer.timestamp = static_cast<uint32_t>(
        std::clamp<int64_t>(input.identity.time_s, epoch_s, epoch_s + int64_t{UINT32_MAX}) - epoch_s);
    footer.creator_app = {'w', 'i', 'n', ' '};
    footer.creator_version = 0x000a0000;
    footer.creator_os = {'W', 'i', '2', 'k'};
    footer.original_size = size;
    footer.current_size = size;
    footer.geometry = geometry_of(size);
    footer.disk_type = type;
    footer.unique_id = input.identity.derive_uuid("vhd");
    footer.checksum = checksum_of(footer);
    return footer;
}

// Copies that part of `from`, which lies at `from_offset`, that falls into `out`, which lies at `offset`.
void copy_overlap(std::span<const std::byte> from, uint64_t from_offset, std::span<std::byte> out, uint64_t offset) {
    uint64_t start = std::max(from_offset, offset);
    uint64_t stop = std::min(from_offset + from.size(), offset + out.size());
    if (start < stop) std::ranges::copy(from.subspan(start - from_offset, stop - start), &out[start - offset]);
}

class FixedView : public Source, public Producer, public std::enable_shared_from_this<FixedView> {
  public:
    FixedView(std::shared_ptr<const Source> disk, const Footer& footer) : disk_(std::move(disk)), footer_(footer) {}

    uint64_t size_bytes() const override { return disk_->size_bytes() + sizeof footer_; }

    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override {
        uint64_t disk_size = disk_->size_bytes(), end = offset + length;
        if (offset < disk_size) {
            uint64_t before = out.length(), take = std::min(end, disk_size) - offset;
            TRY(disk_->map(offset, take, out));
            if (out.length() - before < take) return {};
            offset += take;
        }
        if (offset < end && !out.full()) out.computed(shared_from_this(), offset - disk_size, end - offset);
        return {};
    }

    Result<void> produce(uint64_t offset, std::span<std::byte> out) const override {
        copy_overlap(bytes_of(footer_), 0, out, offset);
        return {};
    }

  private:
    std::shared_ptr<const Source> disk_;
    Footer footer_;
};

class DynamicView : public Source, public Producer, public std::enable_shared_from_this<DynamicView> {
  public:
    DynamicView(std::shared_ptr<const Source> disk, std::shared_ptr<const AllocationIndex> index,
                const Footer& footer)
        : disk_(std::move(disk)),
          index_(std::move(index)),
          footer_(footer),
          data_offset_(table_offset + round_up(index_->unit_count() * sizeof(be32), sector_bytes)),
          footer_offset_(data_offset_ + index_->allocated_count() * stride_bytes) {
        header_.cookie = header_cookie;
        header_.data_offset = no_offset;
        header_.table_offset = table_offset;
        header_.version = format_version;
        header_.max_table_entries = static_cast<uint32_t>(index_->unit_count());
        header_.block_size = block_bytes;
        header_.checksum = checksum_of(header_);
    }

    uint64_t size_bytes() const override { return footer_offset_ + sizeof footer_; }

    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override {
        uint64_t end = offset + length;
        while (offset < end && !out.full()) {
            uint64_t take = run_within(offset, end);
            if (is_data(offset)) {
                uint64_t place = (offset - data_offset_) / stride_bytes;
                uint64_t skip = (offset - data_offset_) % stride_bytes - bitmap_bytes(block_bytes);
                uint64_t before = out.length();
                TRY(map_zero_extended(*disk_, index_->select(place) * block_bytes + skip, take, out));
                if (out.length() - before < take) return {};
            } else {
                out.computed(shared_from_this(), offset, take);
            }
            offset += take;
        }
        return {};
    }

    Result<void> produce(uint64_t offset, std::span<std::byte> out) const override {
        std::ranges::fill(out, std::byte{0xff});  // what nothing below covers is of a bitmap
        copy_overlap(bytes_of(footer_), 0, out, offset);
        copy_overlap(bytes_of(header_), header_offset, out, offset);
        copy_overlap(bytes_of(footer_), footer_offset_, out, offset);
        uint64_t start = std::max(offset, table_offset), stop = std::min(offset + out.size(), data_offset_);
        for (uint64_t at = start; at < stop;) {
            uint64_t unit = (at - table_offset) / sizeof(be32);
            be32 entry = table_entry(unit);
            copy_overlap(bytes_of(entry), table_offset + unit * sizeof(be32), out, offset);
            at = table_offset + (unit + 1) * sizeof(be32);
        }
        return {};
    }

  private:
    bool is_data(uint64_t offset) const {
        return offset >= data_offset_ && offset < footer_offset_ &&
               (offset - data_offset_) % stride_bytes >= bitmap_bytes(block_bytes);
    }

    // How far from `offset` the bytes are of one region: the head, a bitmap, a block's data, or the footer.
    uint64_t run_within(uint64_t offset, uint64_t end) const {
        uint64_t stop = end;
        if (offset < data_offset_) {
            stop = data_offset_;
        } else if (offset < footer_offset_) {
            uint64_t skip = (offset - data_offset_) % stride_bytes;
            stop = offset - skip + (skip < bitmap_bytes(block_bytes) ? bitmap_bytes(block_bytes) : stride_bytes);
        }
        return std::min(stop, end) - offset;
    }

    uint32_t table_entry(uint64_t unit) const {
        if (unit >= index_->unit_count() || !index_->allocated(unit)) return block_absent;
        return static_cast<uint32_t>((data_offset_ + index_->rank(unit) * stride_bytes) / sector_bytes);
    }

    std::shared_ptr<const Source> disk_;
    std::shared_ptr<const AllocationIndex> index_;
    Footer footer_;
    DynamicHeader header_{};
    uint64_t data_offset_, footer_offset_;
};

// A full disk of the largest size must leave its last block below the BAT's 32-bit sector numbers.
static_assert((table_offset + disk_size_max / block_bytes * (sizeof(be32) + stride_bytes)) / sector_bytes <
              block_absent);

}  // namespace

Result<std::shared_ptr<const Source>> make_vhd_dynamic_view(const ViewInput& input) {
    Footer footer = TRY(make_footer(input, type_dynamic));
    auto index = TRY(AllocationIndex::build(*input.disk, block_bytes));
    return std::make_shared<DynamicView>(input.disk, std::move(index), footer);
}

Result<std::shared_ptr<const Source>> make_vhd_fixed_view(const ViewInput& input) {
    Footer footer = TRY(make_footer(input, type_fixed));
    return std::make_shared<FixedView>(input.disk, footer);
}

}  // namespace hyper
