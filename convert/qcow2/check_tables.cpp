// SPDX-License-Identifier: Apache-2.0
// What maps the disk: the snapshot table, L1 tables, L2 tables and their entries.
#include <algorithm>

#include "convert/qcow2/check.h"

namespace hyper::qcow2 {

namespace {

constexpr uint64_t l2_tables_max = l1_bytes_max / 8;
// L1 entries of all snapshots together: bounds the time for a file whose snapshots all name one large table.
constexpr uint64_t l1_entries_total_max = 16 << 20;

}  // namespace

Result<void> Checker::check_snapshots() {
    uint32_t count = header_.nb_snapshots;
    uint64_t at = header_.snapshots_offset;
    if (count == 0) return {};
    if (count > snapshots_max) {
        error("nb_snapshots", "{} is more than {}", count, snapshots_max);
        return {};
    }
    uint64_t end = std::min(file_.size_bytes(), checked_add(at, snapshot_table_bytes_max).value_or(at));
    struct Found {
        std::string field;
        uint64_t l1_offset, disk_bytes;
        uint32_t l1_size;
    };
    std::vector<Found> found;
    for (uint32_t i = 0; i < count; ++i) {
        std::string field = fmt::format("snapshot {}", i);
        SnapshotEntry entry;
        uint64_t tail = 0;
        bool fits = range_within(at, sizeof entry, end);
        if (fits) {
            TRY(file_.read(at, bytes_of(entry)));
            tail = uint64_t{entry.extra_data_size} + entry.id_size + entry.name_size;
            fits = range_within(at, sizeof entry + tail, end);
        }
        if (!fits) {
            error(field, "its entry at offset {} lies past the end of the file or of 64 MiB", at);
            return {};
        }
        SnapshotExtra extra;
        uint64_t disk_bytes = header_.size;
        if (entry.extra_data_size > snapshot_extra_bytes_max)
            error(field, "extra_data_size {} is more than 1024", uint32_t{entry.extra_data_size});
        if (entry.extra_data_size >= sizeof extra) {
            TRY(file_.read(at + sizeof entry, bytes_of(extra)));
            disk_bytes = extra.disk_size;
        } else if (header_.version >= 3) {
            error(field, "extra_data_size {} is less than 16", uint32_t{entry.extra_data_size});
        }
        if (entry.id_size == 0) error(field, "has no id");
        found.push_back({field + ", L1 table", entry.l1_table_offset, disk_bytes, entry.l1_size});
        at = round_up(at + sizeof entry + tail, 8);
    }
    claim("snapshot table", Kind::snapshot_table, header_.snapshots_offset,
          std::min(at, file_.size_bytes()) - header_.snapshots_offset);
    for (const Found& snapshot : found)
        TRY(check_l1(snapshot.field, snapshot.l1_offset, snapshot.l1_size, snapshot.disk_bytes, false));
    return {};
}

Result<void> Checker::check_l1(const std::string& field, uint64_t offset, uint32_t entries, uint64_t disk_bytes,
                               bool active) {
    uint64_t bytes = uint64_t{entries} * 8, covers = cluster_bytes_ / l2_entry_bytes_ * cluster_bytes_;
    if (bytes > l1_bytes_max || divide_up(disk_bytes, covers) > entries)
        error(field, "{} entries are over 32 MiB or too few for a disk of {} bytes", entries, disk_bytes);
    if (bytes == 0 || bytes > l1_bytes_max) return {};
    l1_entries_seen_ += entries;
    if (l1_entries_seen_ > l1_entries_total_max) {
        error(field, "the L1 tables of all snapshots have over {} entries: not followed", l1_entries_total_max);
        return {};
    }
    if (!claim(field, Kind::l1_table, offset, bytes)) return {};
    if (!range_within(offset, bytes, file_.size_bytes())) {
        error(field, "{} bytes at offset {} lie past the end of the file", bytes, offset);
        return {};
    }
    std::vector<uint64_t> table(entries);
    TRY(file_.read(offset, std::as_writable_bytes(std::span(table))));
    for (uint64_t& entry : table) entry = swap_bytes(entry);
    size_t first_new = l2_tables_.size();
    for (uint32_t i = 0; i < entries; ++i) {
        uint64_t entry = table[i], l2 = entry & offset_mask;
        if (entry == 0) continue;
        auto entry_field = [&] { return fmt::format("{}, entry {}", field, i); };
        if ((entry & ~(offset_mask | flag_copied)) != 0) error(entry_field(), "0x{:016x}: reserved bits are set", entry);
        if (l2 == 0)
            error(entry_field(), "0x{:016x}: flagged copied without an L2 table", entry);
        else if (l2 % cluster_bytes_ != 0)
            error(entry_field(), "0x{:016x}: the offset is not a multiple of the cluster size", entry);
        else if (!range_within(l2, cluster_bytes_, file_.size_bytes()))
            error(entry_field(), "0x{:016x}: the L2 table lies past the end of the file ({} bytes)", entry, file_.size_bytes());
        else
            l2_tables_.push_back({l2, i, active, 1});
    }
    auto added = std::span(l2_tables_).subspan(first_new);
    std::ranges::sort(added, {}, &L2Table::offset);
    for (size_t i = 1; i < added.size(); ++i)
        if (added[i].offset == added[i - 1].offset)
            error(fmt::format("{}, entry {}", field, added[i].l1_index), "refers to the same L2 table at offset {} as entry {}",
                  added[i].offset, added[i - 1].l1_index);
    if (active) l1_ = std::move(table);
    if (l2_tables_.size() > l2_tables_max) merge_l2_tables();
    return {};
}

// One entry for each L2 table, with the number of L1 entries that refer to it.
void Checker::merge_l2_tables() {
    std::ranges::sort(l2_tables_, [](const L2Table& a, const L2Table& b) {
        return a.offset != b.offset ? a.offset < b.offset : a.active > b.active;
    });
    size_t kept = 0;
    for (const L2Table& table : l2_tables_) {
        if (kept > 0 && l2_tables_[kept - 1].offset == table.offset)
            l2_tables_[kept - 1].times += table.times;
        else
            l2_tables_[kept++] = table;
    }
    l2_tables_.resize(kept);
    if (kept > l2_tables_max) {
        error("L2 tables", "{} are too many to check; {} are looked at", kept, l2_tables_max);
        l2_tables_.resize(l2_tables_max);
    }
}

Result<void> Checker::count_data(const L2Table& table) {
    std::vector<std::byte> bytes(cluster_bytes_);
    TRY(file_.read(table.offset, bytes));
    for (uint64_t i = 0; i < cluster_bytes_ / l2_entry_bytes_; ++i) {
        const std::byte* entry = bytes.data() + i * l2_entry_bytes_;
        uint64_t value = load_be<uint64_t>(entry);
        uint64_t bitmap = has(incompatible_extended_l2) ? load_be<uint64_t>(entry + 8) : 0;
        if (value != 0 || bitmap != 0) count_entry(table, i, value, bitmap);
    }
    return {};
}

void Checker::count_entry(const L2Table& table, uint64_t l2_index, uint64_t entry, uint64_t bitmap) {
    auto field = [&] { return entry_name(table, l2_index); };
    const bool extended = has(incompatible_extended_l2);
    if ((entry & flag_compressed) != 0) {
        if (bitmap != 0) error(field(), "0x{:016x}: a compressed cluster with subcluster bitmap 0x{:016x}", entry, bitmap);
        return count_compressed(table, l2_index, entry);
    }
    if ((entry & ~(offset_mask | flag_copied | flag_zero)) != 0 || ((entry & flag_zero) != 0 && extended))
        error(field(), "0x{:016x}: reserved bits are set", entry);
    if ((entry & flag_zero) != 0 && header_.version < 3)
        error(field(), "0x{:016x}: a zero cluster, which version 2 does not have", entry);
    uint32_t allocated = static_cast<uint32_t>(bitmap), zero = static_cast<uint32_t>(bitmap >> 32);
    if ((allocated & zero) != 0) error(field(), "subclusters of bitmap 0x{:016x} are both allocated and zero", bitmap);
    uint64_t host = entry & offset_mask;
    bool has_place = host != 0 || (has(incompatible_data_file) && (entry & flag_copied) != 0);
    if (!has_place) {
        if (allocated != 0) error(field(), "subclusters of bitmap 0x{:016x} are allocated without a cluster", bitmap);
        if ((entry & flag_copied) != 0) error(field(), "0x{:016x}: flagged copied without a cluster", entry);
        return;
    }
    if (host % cluster_bytes_ != 0) {
        error(field(), "0x{:016x}: the offset is not a multiple of the cluster size", entry);
        return;
    }
    if (table.active && (extended ? allocated != 0 : (entry & flag_zero) == 0)) report_.allocated_bytes += cluster_bytes_;
    if (has(incompatible_data_file)) return;  // the data file has no refcounts
    if (!range_within(host, cluster_bytes_, file_end())) {
        error(field(), "0x{:016x}: the cluster lies past the end of the file ({} bytes)", entry, file_.size_bytes());
        return;
    }
    if (references_->count(cluster_of(host)) > 0)
        if (const Claim* other = claim_at(cluster_of(host)))
            error(field(), "0x{:016x}: the cluster overlaps {}", entry, kind_name(other->kind));
    references_->add(cluster_of(host), table.times);
}

void Checker::count_compressed(const L2Table& table, uint64_t l2_index, uint64_t entry) {
    auto field = [&] { return entry_name(table, l2_index); };
    if (has(incompatible_data_file)) {
        error(field(), "0x{:016x}: a compressed cluster in an image with a data file", entry);
        return;
    }
    if ((entry & flag_copied) != 0) error(field(), "0x{:016x}: a compressed cluster is flagged copied", entry);
    CompressedPlace place = compressed_place(entry, cluster_bits_);
    uint64_t end = place.offset + place.stored_bytes;
    if (place.offset >= file_.size_bytes() || end > file_end()) {
        error(field(), "0x{:016x}: {} compressed bytes at offset {} lie past the end of the file ({} bytes)", entry,
              place.stored_bytes, place.offset, file_.size_bytes());
        return;
    }
    if (table.active) report_.allocated_bytes += cluster_bytes_;
    for (uint64_t cluster = cluster_of(place.offset); cluster <= cluster_of(end - 1); ++cluster) {
        if (references_->count(cluster) > 0)
            if (const Claim* other = claim_at(cluster))
                error(field(), "0x{:016x}: the compressed cluster overlaps {}", entry, kind_name(other->kind));
        references_->add(cluster, table.times);
    }
}

// "Copied" means that the refcount is exactly 1; of the active tables only, says the specification.
Result<void> Checker::check_copied_flags() {
    auto check = [&](const auto& field, uint64_t entry, uint64_t offset) {
        bool copied = (entry & flag_copied) != 0;
        uint32_t count = references_->count(cluster_of(offset));
        if (copied != (count == 1))
            error(field(), "0x{:016x}: flagged {}, but {} references", entry, copied ? "copied" : "not copied", count);
    };
    std::vector<std::byte> bytes(cluster_bytes_);
    for (const L2Table& table : l2_tables_) {
        if (!table.active) continue;
        uint64_t l1_entry = l1_[table.l1_index];
        check([&] { return fmt::format("L1 table, entry {}", table.l1_index); }, l1_entry, table.offset);
        if (has(incompatible_data_file)) continue;
        TRY(file_.read(table.offset, bytes));
        for (uint64_t i = 0; i < cluster_bytes_ / l2_entry_bytes_; ++i) {
            uint64_t entry = load_be<uint64_t>(bytes.data() + i * l2_entry_bytes_), host = entry & offset_mask;
            if ((entry & flag_compressed) != 0 || host == 0 || !range_within(host, cluster_bytes_, file_end())) continue;
            check([&] { return entry_name(table, i); }, entry, host);
        }
    }
    return {};
}

}  // namespace hyper::qcow2
