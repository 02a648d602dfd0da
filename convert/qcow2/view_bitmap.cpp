// SPDX-License-Identifier: Apache-2.0
#include "convert/qcow2/view_bitmap.h"

#include <algorithm>
#include <cstring>

#include "convert/qcow2/table.h"

namespace hyper::qcow2 {

ViewBitmap::ViewBitmap(std::string name, uint64_t disk_bytes, std::span<const ChangedRun> runs, uint64_t cluster_bytes)
    : name_(std::move(name)), cluster_bytes_(cluster_bytes),
      dirty_(AllocationIndex::touched(disk_bytes, runs, uint64_t{1} << granularity_bits)),
      table_entries_(divide_up(dirty_->unit_count(), units_per_cluster())),
      directory_clusters_(divide_up(directory_bytes(), cluster_bytes)),
      table_clusters_(divide_up(table_entries_ * 8, cluster_bytes)) {
    for (uint64_t i = 0; i < table_entries_; ++i) {
        uint64_t first = i * units_per_cluster(), limit = std::min(units_per_cluster(), dirty_->unit_count() - first);
        if (dirty_->allocated(first) || dirty_->run_length(first, limit) < limit) stored_.push_back(static_cast<uint32_t>(i));
    }
}

BitmapsExtension ViewBitmap::extension(uint64_t place) const {
    BitmapsExtension extension{};
    extension.nb_bitmaps = 1;
    extension.directory_size = directory_bytes();
    extension.directory_offset = place;
    return extension;
}

void ViewBitmap::produce(uint64_t place, uint64_t offset, std::span<std::byte> out) const {
    const uint64_t table = directory_clusters_ * cluster_bytes_, data = table + table_clusters_ * cluster_bytes_;
    while (!out.empty()) {
        uint64_t end = offset < table ? table : offset < data ? data : UINT64_MAX;
        auto part = out.first(std::min<uint64_t>(out.size(), end - offset));
        if (offset < table)
            produce_directory(place, offset, part);
        else if (offset < data)
            produce_table(place, offset - table, part);
        else
            produce_data(offset - data, part);
        offset += part.size();
        out = out.subspan(part.size());
    }
}

void ViewBitmap::produce_directory(uint64_t place, uint64_t offset, std::span<std::byte> out) const {
    BitmapDirectoryEntry entry{};
    entry.table_offset = place + directory_clusters_ * cluster_bytes_;
    entry.table_size = static_cast<uint32_t>(table_entries_);
    entry.type = bitmap_dirty_tracking;
    entry.granularity_bits = granularity_bits;
    entry.name_size = static_cast<uint16_t>(name_.size());
    std::vector<std::byte> bytes(directory_clusters_ * cluster_bytes_);
    std::memcpy(bytes.data(), &entry, sizeof entry);
    std::memcpy(bytes.data() + sizeof entry, name_.data(), name_.size());
    std::memcpy(out.data(), bytes.data() + offset, out.size());
}

void ViewBitmap::produce_table(uint64_t place, uint64_t offset, std::span<std::byte> out) const {
    const uint64_t data = place + (directory_clusters_ + table_clusters_) * cluster_bytes_;
    uint64_t entry = offset / 8;
    auto next = std::ranges::lower_bound(stored_, entry);
    fill_table(offset, out, [&]() -> uint64_t {
        if (next == stored_.end() || *next != entry++) return 0;
        return data + static_cast<uint64_t>(next++ - stored_.begin()) * cluster_bytes_;
    });
}

void ViewBitmap::produce_data(uint64_t offset, std::span<std::byte> out) const {
    uint64_t run = 0, unit = 0;
    bool dirty = false;
    for (std::byte& byte : out) {
        if (run == 0 || offset % cluster_bytes_ == 0) {
            unit = stored_[offset / cluster_bytes_] * units_per_cluster() + offset % cluster_bytes_ * 8;
            run = 0;
        }
        byte = {};
        for (int bit = 0; bit < 8 && unit < dirty_->unit_count(); ++bit, ++unit, --run) {
            if (run == 0) {
                dirty = dirty_->allocated(unit);
                run = dirty_->run_length(unit, units_per_cluster());
            }
            if (dirty) byte |= static_cast<std::byte>(1 << bit);
        }
        ++offset;
    }
}

}  // namespace hyper::qcow2
