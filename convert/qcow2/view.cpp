// SPDX-License-Identifier: Apache-2.0
// The view: a qcow2 file (version 3, compat 1.1) computed from a disk. The layout is in layout.h.
//
// Design note. In memory there are the allocation index of the disk's clusters and, for each L1 entry, how many L2
// tables come before its own (4 bytes). Everything else follows: the place of a data cluster is its rank in the index, the
// guest cluster at a place is select(place). Tables are computed for exactly the bytes that are asked for.
//
// Of a delta the view is an overlay, to be put over a copy of the disk's earlier state: changed clusters that hold data are stored,
// those that are zeros have the zero flag, and the others have no entry. A cluster of which only a part changed is
// stored whole; the rest of it is the same in both states.
#include <algorithm>
#include <cerrno>
#include <optional>

#include "blockengine/allocation_index.h"
#include "convert/qcow2/format.h"
#include "convert/qcow2/layout.h"
#include "convert/qcow2/qcow2.h"
#include "convert/qcow2/table.h"
#include "convert/qcow2/view_bitmap.h"

namespace hyper {

namespace {

using namespace qcow2;

constexpr uint64_t cluster_bytes_default = 64 * KiB;

class Qcow2View : public Source, public Producer, public std::enable_shared_from_this<Qcow2View> {
  public:
    static Result<std::shared_ptr<const Source>> make(const ViewInput& input, uint64_t cluster_bytes);

    uint64_t size_bytes() const override { return layout_.end; }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override;
    Result<void> produce(uint64_t offset, std::span<std::byte> out) const override;

  private:
    // A part of the metadata: `used` computed bytes from `start` on, then zeros up to `end`.
    struct Section {
        uint64_t start, used, end;
        void (Qcow2View::*produce)(uint64_t offset, std::span<std::byte> out) const;  // offset within the section
    };

    void count_l2_tables(uint64_t l1_entries);
    void lay_out_sections();

    void produce_header(uint64_t offset, std::span<std::byte> out) const;
    void produce_refcount_table(uint64_t offset, std::span<std::byte> out) const;
    void produce_refcounts(uint64_t offset, std::span<std::byte> out) const;
    void produce_l1(uint64_t offset, std::span<std::byte> out) const;
    void produce_l2(uint64_t offset, std::span<std::byte> out) const;
    void produce_bitmap(uint64_t offset, std::span<std::byte> out) const { bitmap_->produce(layout_.bitmap, offset, out); }

    std::shared_ptr<const Source> disk_;
    std::shared_ptr<const AllocationIndex> index_;  // of clusters that are stored
    std::shared_ptr<const AllocationIndex> told_;   // of clusters that have an entry: the same, but for a delta
    std::optional<ViewBitmap> bitmap_;
    std::vector<uint32_t> l2_before_;  // for each L1 entry, and one more: L2 tables of the entries before it
    Layout layout_;
    Section sections_[6]{};
};

Result<std::shared_ptr<const Source>> Qcow2View::make(const ViewInput& input, uint64_t cluster_bytes) {
    uint64_t disk_bytes = input.disk->size_bytes();
    uint64_t l1_entries = TRY(Layout::l1_entries_of(input.file_name, disk_bytes, cluster_bytes));
    auto view = std::make_shared<Qcow2View>();
    if (input.delta) {
        view->disk_ = input.delta->disk();
        view->index_ = TRY(AllocationIndex::build(*view->disk_, input.delta->changed(), cluster_bytes));
        view->told_ = AllocationIndex::touched(disk_bytes, input.delta->changed(), cluster_bytes);
    } else {
        view->disk_ = input.disk;
        view->index_ = view->told_ = TRY(AllocationIndex::build(*input.disk, cluster_bytes));
    }
    view->layout_.cluster_bytes = cluster_bytes;
    view->count_l2_tables(l1_entries);
    if (input.bitmap) view->bitmap_.emplace(input.bitmap->name, disk_bytes, input.bitmap->dirty, cluster_bytes);
    view->layout_ = TRY(Layout::compute(input.file_name, disk_bytes, cluster_bytes, view->l2_before_.back(),
                                        view->bitmap_ ? view->bitmap_->cluster_count() : 0, view->index_->allocated_count()));
    view->lay_out_sections();
    return view;
}

void Qcow2View::count_l2_tables(uint64_t l1_entries) {
    const uint64_t clusters_each = Layout::l2_entries(layout_.cluster_bytes);
    l2_before_.resize(l1_entries + 1);
    uint32_t count = 0;
    for (uint64_t i = 0; i < l1_entries; ++i) {
        l2_before_[i] = count;
        uint64_t first = i * clusters_each, limit = std::min(clusters_each, told_->unit_count() - first);
        if (told_->allocated(first) || told_->run_length(first, limit) < limit) ++count;
    }
    l2_before_[l1_entries] = count;
}

void Qcow2View::lay_out_sections() {
    const Layout& l = layout_;
    uint64_t header_bytes = sizeof(Header) + sizeof(ExtensionHeader);
    if (bitmap_) header_bytes += sizeof(ExtensionHeader) + sizeof(BitmapsExtension);
    sections_[0] = {0, header_bytes, l.refcount_table, &Qcow2View::produce_header};
    sections_[1] = {l.refcount_table, l.refcount_table_bytes(), l.refcount_blocks, &Qcow2View::produce_refcount_table};
    sections_[2] = {l.refcount_blocks, l.refcount_bytes(), l.l1_table, &Qcow2View::produce_refcounts};
    sections_[3] = {l.l1_table, l.l1_bytes(), l.l2_tables, &Qcow2View::produce_l1};
    sections_[4] = {l.l2_tables, l.bitmap - l.l2_tables, l.bitmap, &Qcow2View::produce_l2};
    sections_[5] = {l.bitmap, l.data - l.bitmap, l.data, &Qcow2View::produce_bitmap};
}

Result<void> Qcow2View::map(uint64_t offset, uint64_t length, PieceList& out) const {
    uint64_t end = offset + length;
    for (const Section& section : sections_) {
        if (offset >= end || out.full()) return {};
        if (offset >= section.end) continue;
        uint64_t used_end = section.start + section.used;
        if (offset < used_end) {
            uint64_t take = std::min(end, used_end) - offset;
            out.computed(shared_from_this(), offset, take);
            offset += take;
        }
        uint64_t padding = offset < end ? std::min(end, section.end) - offset : 0;
        out.zeros(padding);
        offset += padding;
    }
    if (offset >= end || out.full()) return {};
    return map_allocated(*disk_, *index_, offset - layout_.data, end - offset, out);
}

Result<void> Qcow2View::produce(uint64_t offset, std::span<std::byte> out) const {
    for (const Section& section : sections_) {
        if (out.empty()) break;
        if (offset >= section.start + section.used) continue;
        size_t take = std::min<uint64_t>(out.size(), section.start + section.used - offset);
        (this->*section.produce)(offset - section.start, out.first(take));
        offset += take;
        out = out.subspan(take);
    }
    return {};
}

void Qcow2View::produce_header(uint64_t offset, std::span<std::byte> out) const {
    struct {
        Header header;
        // The first of these ends the extensions where there is no bitmap.
        ExtensionHeader extension;
        BitmapsExtension bitmaps;
        ExtensionHeader end_of_extensions;
    } first{};
    first.header = header_of(layout_);
    if (bitmap_) {
        first.header.autoclear_features = autoclear_bitmaps;
        first.extension.type = extension_bitmaps;
        first.extension.length = sizeof(BitmapsExtension);
        first.bitmaps = bitmap_->extension(layout_.bitmap);
    }
    std::memcpy(out.data(), bytes_of(first).data() + offset, out.size());
}

void Qcow2View::produce_refcount_table(uint64_t offset, std::span<std::byte> out) const {
    uint64_t block = offset / 8;
    fill_table(offset, out, [&] { return layout_.refcount_blocks + block++ * layout_.cluster_bytes; });
}

void Qcow2View::produce_refcounts(uint64_t offset, std::span<std::byte> out) const {
    // Each is 1, in 16 bits.
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>((offset + i) % 2);
}

void Qcow2View::produce_l1(uint64_t offset, std::span<std::byte> out) const {
    uint64_t i = offset / 8;
    fill_table(offset, out, [&]() -> uint64_t {
        uint64_t tables_before = l2_before_[i], tables_after = l2_before_[i + 1];
        ++i;
        if (tables_after == tables_before) return 0;
        return (layout_.l2_tables + tables_before * layout_.cluster_bytes) | flag_copied;
    });
}

void Qcow2View::produce_l2(uint64_t offset, std::span<std::byte> out) const {
    const uint64_t cluster = layout_.cluster_bytes;
    while (!out.empty()) {
        // The L1 entry that table number offset / cluster belongs to is the last with that many tables before it.
        auto after = std::upper_bound(l2_before_.begin(), l2_before_.end(), static_cast<uint32_t>(offset / cluster));
        uint64_t l1_index = static_cast<uint64_t>(after - l2_before_.begin()) - 1;
        uint64_t unit = l1_index * Layout::l2_entries(cluster) + offset % cluster / 8;
        uint64_t host = 0, run = 0;
        bool stored = false, told = false;
        size_t take = std::min<uint64_t>(out.size(), cluster - offset % cluster);
        fill_table(offset, out.first(take), [&]() -> uint64_t {
            if (unit >= index_->unit_count()) return 0;
            if (run == 0) {
                stored = index_->allocated(unit);
                told = told_->allocated(unit);
                run = told_->run_length(unit, index_->run_length(unit, Layout::l2_entries(cluster)));
                if (stored && host == 0) host = layout_.data + index_->rank(unit) * cluster;
            }
            --run;
            ++unit;
            if (!stored) return told ? flag_zero : 0;
            host += cluster;
            return (host - cluster) | flag_copied;
        });
        offset += take;
        out = out.subspan(take);
    }
}

}  // namespace

Result<std::shared_ptr<const Source>> make_qcow2_view(const ViewInput& input) {
    return Qcow2View::make(input, input.cluster_bytes != 0 ? input.cluster_bytes : cluster_bytes_default);
}

}  // namespace hyper
