// SPDX-License-Identifier: Apache-2.0
// monolithicSparse, computed from a disk.
//
// Design note. In sectors: header 1 | descriptor 20 | RGD, RGTs | GD, GTs | pad to a grain | grains. Every grain
// table of the capacity has its place, as VMware lays such files out, so all directory entries are arithmetic; a table without
// any grain is a hole of the file. Grains follow in guest order, so the place of a grain is its rank among the allocated ones.
// Beyond the allocation index the view holds nothing that grows with the disk.
#include <cerrno>

#include "blockengine/allocation_index.h"
#include "convert/vmdk/descriptor.h"
#include "convert/vmdk/layout.h"
#include "convert/vmdk/vmdk.h"
#include "convert/vmdk/window.h"

namespace hyper {

namespace {

using namespace vmdk;

constexpr uint64_t grain_sectors = 128, grain_bytes = grain_sectors * sector_bytes;
constexpr uint64_t descriptor_at = 1, descriptor_sectors = 20;

class SparseView : public Source, public Producer, public std::enable_shared_from_this<SparseView> {
  public:
    SparseView(const ViewInput& input, std::shared_ptr<const AllocationIndex> index);
    uint64_t size_sectors() const { return over_head_ + index_->allocated_count() * grain_sectors; }
    uint64_t size_bytes() const override { return size_sectors() * sector_bytes; }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override;
    Result<void> produce(uint64_t offset, std::span<std::byte> out) const override;

  private:
    // Where the piece of the file that holds `offset` ends, and whether it is all zeros: below over_head_ only.
    struct Part {
        uint64_t end;
        bool zero;
    };
    Part metadata_part(uint64_t offset) const;
    uint64_t table_grains(uint64_t table) const;
    void put_tables(uint64_t directory_at, Window& window) const;

    std::shared_ptr<const Source> disk_;
    std::shared_ptr<const AllocationIndex> index_;
    uint64_t tables_, directory_sectors_;
    uint64_t rgd_at_, gd_at_, over_head_;  // in sectors
    SparseHeader header_{};
    std::string descriptor_;
};

SparseView::SparseView(const ViewInput& input, std::shared_ptr<const AllocationIndex> index)
    : disk_(input.disk), index_(std::move(index)) {
    uint64_t capacity = disk_->size_bytes() / sector_bytes;
    tables_ = divide_up(index_->unit_count(), gtes_per_gt);
    directory_sectors_ = divide_up(tables_ * 4, sector_bytes);
    rgd_at_ = descriptor_at + descriptor_sectors;
    gd_at_ = rgd_at_ + directory_sectors_ + tables_ * gt_sectors;
    over_head_ = round_up(gd_at_ + directory_sectors_ + tables_ * gt_sectors, grain_sectors);
    header_.magic = magic_sparse;
    header_.version = 1;
    header_.flags = flag_newline_test | flag_redundant_gd;
    header_.capacity = capacity;
    header_.grain_size = grain_sectors;
    header_.descriptor_offset = descriptor_at;
    header_.descriptor_size = descriptor_sectors;
    header_.gtes_per_gt = gtes_per_gt;
    header_.rgd_offset = rgd_at_;
    header_.gd_offset = gd_at_;
    header_.over_head = over_head_;
    std::memcpy(header_.newline_test, newline_test, sizeof newline_test);
    descriptor_ = write_descriptor(input, "monolithicSparse",
                                   fmt::format("RW {} SPARSE \"{}\"", capacity, quotable(input.file_name)));
}

uint64_t SparseView::table_grains(uint64_t table) const {
    return std::min(gtes_per_gt, index_->unit_count() - table * gtes_per_gt);
}

SparseView::Part SparseView::metadata_part(uint64_t offset) const {
    uint64_t gts_bytes = tables_ * gt_bytes;
    for (uint64_t directory_at : {rgd_at_, gd_at_}) {
        uint64_t gts_at = (directory_at + directory_sectors_) * sector_bytes;
        if (offset < gts_at) return {gts_at, false};
        if (offset >= gts_at + gts_bytes) continue;
        // Grain tables: those without a grain, in one run as far as it goes; or one with.
        uint64_t table = (offset - gts_at) / gt_bytes, grain = table * gtes_per_gt;
        uint64_t run = index_->allocated(grain) ? 0 : index_->run_length(grain, index_->unit_count());
        if (run < table_grains(table)) return {gts_at + (table + 1) * gt_bytes, false};
        uint64_t tables = grain + run == index_->unit_count() ? tables_ - table : run / gtes_per_gt;
        return {gts_at + (table + tables) * gt_bytes, true};
    }
    return {over_head_ * sector_bytes, true};
}

Result<void> SparseView::map(uint64_t offset, uint64_t length, PieceList& out) const {
    uint64_t end = offset + length, grains_at = over_head_ * sector_bytes;
    while (offset < std::min(end, grains_at) && !out.full()) {
        Part part = metadata_part(offset);
        uint64_t take = std::min(end, part.end) - offset;
        if (part.zero)
            out.zeros(take);
        else
            out.computed(shared_from_this(), offset, take);
        offset += take;
    }
    if (offset >= end || out.full()) return {};
    return map_allocated(*disk_, *index_, offset - grains_at, end - offset, out);
}

Result<void> SparseView::produce(uint64_t offset, std::span<std::byte> out) const {
    Window window(offset, out);
    window.put(0, bytes_of(header_));
    window.put(descriptor_at * sector_bytes, bytes_of_text(descriptor_));
    put_tables(rgd_at_, window);
    put_tables(gd_at_, window);
    return {};
}

void SparseView::put_tables(uint64_t directory_at, Window& window) const {
    uint64_t gts_at = directory_at + directory_sectors_;
    window.put_table(directory_at * sector_bytes, tables_,
                     [&](uint64_t table) { return static_cast<uint32_t>(gts_at + table * gt_sectors); });
    // Ranks are counted on from the first grain that is asked for.
    uint64_t rank = 0;
    bool counting = false;
    window.put_table(gts_at * sector_bytes, index_->unit_count(), [&](uint64_t grain) {
        if (!counting) rank = index_->rank(grain);
        counting = true;
        return index_->allocated(grain) ? static_cast<uint32_t>(over_head_ + rank++ * grain_sectors) : gte_absent;
    });
}

}  // namespace

Result<std::shared_ptr<const Source>> make_vmdk_sparse_view(const ViewInput& input) {
    if (input.disk->size_bytes() == 0) return fail(EINVAL, "{}: the disk is empty: VMDK cannot hold it", input.file_name);
    auto view = std::make_shared<SparseView>(input, TRY(AllocationIndex::build(*input.disk, grain_bytes)));
    if (view->size_sectors() > file_sectors_max)
        return fail(EFBIG, "{}: the file would have {} bytes; VMDK counts sectors in 32 bits, so 2 TiB is its limit "
                    "(try vhdx or qcow2)", input.file_name, view->size_bytes());
    return view;
}

}  // namespace hyper
