// SPDX-License-Identifier: Apache-2.0
// The strict checker: recomputes every refcount from the tables and compares.
//
// Design note. First the metadata is claimed, cluster by cluster: header, refcount table and blocks, L1 tables, L2 tables,
// snapshot table, bitmaps, encryption header; a cluster that is claimed twice is an overlap. L2 tables that several snapshots
// share are claimed once, with the number of L1 tables that refer to them, and walked once with that weight, so the
// time is that of the file's own tables however they refer to each other. Then the data clusters are counted, and
// at last stored refcounts and "copied" flags are compared with the counts. Tables that are out of bounds are reported and not followed.
// Memory: the active L1 table (32 MiB), 16 bytes for each L2 table (64 MiB), the counts (cluster_references.h).
#include <algorithm>
#include <bit>
#include <map>
#include <optional>

#include "convert/qcow2/cluster_references.h"
#include "convert/qcow2/format.h"
#include "convert/qcow2/qcow2.h"

namespace hyper {

namespace {

using namespace qcow2;

constexpr uint64_t l2_tables_max = l1_bytes_max / 8;
// L1 entries of all snapshots together: bounds the time for a file whose snapshots all name one large table.
constexpr uint64_t l1_entries_total_max = 16 << 20;

enum class Kind : uint8_t {
    header, refcount_table, refcount_block, l1_table, l2_table, snapshot_table, bitmap_directory, bitmap_table, bitmap_data,
    encryption_header,
};

std::string_view kind_name(Kind kind) {
    switch (kind) {
        case Kind::header: return "the header";
        case Kind::refcount_table: return "the refcount table";
        case Kind::refcount_block: return "a refcount block";
        case Kind::l1_table: return "an L1 table";
        case Kind::l2_table: return "an L2 table";
        case Kind::snapshot_table: return "the snapshot table";
        case Kind::bitmap_directory: return "the bitmap directory";
        case Kind::bitmap_table: return "a bitmap table";
        case Kind::bitmap_data: return "bitmap data";
        case Kind::encryption_header: return "the encryption header";
    }
    return "?";
}

class Checker {
  public:
    Checker(const CheckedFile& file, CheckReport& report) : file_(file), report_(report) {}
    Result<void> run();

  private:
    struct Claim {
        uint64_t first, count;  // clusters
        Kind kind;
    };
    // An L2 table, and how many L1 tables refer to it.
    struct L2Table {
        uint64_t offset;
        uint32_t l1_index;
        uint32_t active : 1;  // the active L1 table is among them
        uint32_t times : 31;
    };
    static_assert(sizeof(L2Table) == 16);

    // Formatting is skipped where the finding would only be counted.
    template <class... Args>
    void error(const std::string& field, fmt::format_string<Args...> format, Args&&... args) {
        if (report_.findings().size() < CheckReport::findings_max)
            report_.error(field, format, std::forward<Args>(args)...);
        else
            report_.error({}, "");
    }
    bool has(uint64_t feature) const { return (incompatible_ & feature) != 0; }
    uint64_t cluster_of(uint64_t offset) const { return offset >> cluster_bits_; }
    uint64_t file_end() const { return round_up(file_.size_bytes(), cluster_bytes_); }

    Result<bool> check_header();
    bool check_header_fields(uint32_t header_length);
    Result<void> check_extensions(uint32_t header_length);
    Result<void> check_bitmaps(const BitmapsExtension& bitmaps);
    Result<void> check_bitmap_table(const std::string& field, uint64_t offset, uint64_t entries);
    Result<void> check_refcount_table();
    Result<void> check_snapshots();
    Result<void> check_l1(const std::string& field, uint64_t offset, uint32_t entries, uint64_t disk_bytes, bool active);
    void merge_l2_tables();
    Result<void> count_data(const L2Table& table);
    void count_entry(const L2Table& table, uint64_t l2_index, uint64_t entry, uint64_t bitmap);
    void count_compressed(const L2Table& table, uint64_t l2_index, uint64_t entry);
    Result<void> check_copied_flags();
    Result<void> compare_refcounts();
    void compare_one(uint64_t cluster, uint64_t stored);
    void end_mismatch();

    bool claim(const std::string& field, Kind kind, uint64_t offset, uint64_t bytes, uint32_t times = 1);
    const Claim* claim_at(uint64_t cluster) const;
    std::string entry_name(const L2Table& table, uint64_t l2_index) const {
        return fmt::format("L2 table {}{}, entry {}", table.l1_index, table.active ? "" : " of a snapshot", l2_index);
    }

    const CheckedFile& file_;
    CheckReport& report_;
    Header header_{};
    uint32_t cluster_bits_ = 0;
    uint64_t cluster_bytes_ = 0, l2_entry_bytes_ = 8;
    uint64_t incompatible_ = 0;
    uint32_t refcount_order_ = 4;
    std::optional<ClusterReferences> references_;
    std::vector<Claim> claims_;
    bool claims_sorted_ = false;
    std::vector<uint64_t> l1_;  // the active table
    uint64_t l1_entries_seen_ = 0;
    std::vector<L2Table> l2_tables_;
    std::vector<uint64_t> refcount_blocks_;  // offsets; 0 where there is none
    // A run of clusters whose refcounts are wrong in the same way.
    struct Mismatch {
        uint64_t first = 0, count = 0, stored = 0;
        uint32_t counted = 0;
    } mismatch_;
};

Result<void> Checker::run() {
    if (!TRY(check_header())) return {};
    if (divide_up(file_.size_bytes(), cluster_bytes_) > ClusterReferences::cluster_count_max) {
        error("file", "{} bytes in clusters of {} are too many to check", file_.size_bytes(), cluster_bytes_);
        return {};
    }
    references_.emplace(divide_up(file_.size_bytes(), cluster_bytes_));
    claim("header", Kind::header, 0, cluster_bytes_);
    TRY(check_extensions(header_.version >= 3 ? uint32_t{header_.header_length} : header_bytes_v2));
    TRY(check_refcount_table());
    TRY(check_l1("L1 table", header_.l1_table_offset, header_.l1_size, header_.size, true));
    TRY(check_snapshots());
    merge_l2_tables();
    std::erase_if(l2_tables_, [&](const L2Table& table) {
        return !claim(fmt::format("L2 table {}", table.l1_index), Kind::l2_table, table.offset, cluster_bytes_, table.times);
    });
    std::ranges::sort(claims_, {}, &Claim::first);
    claims_sorted_ = true;
    for (const L2Table& table : l2_tables_) TRY(count_data(table));
    if (references_->overflowed()) {
        report_.warning("refcounts", "not compared: the clusters of this file are too scattered to count them in {} MiB",
                        ClusterReferences::unfolded_chunks_max * 64 / 1024);
        return {};
    }
    TRY(check_copied_flags());
    return compare_refcounts();
}

// Claims whole clusters for metadata. False, with a finding, where the range is not possible or already taken.
bool Checker::claim(const std::string& field, Kind kind, uint64_t offset, uint64_t bytes, uint32_t times) {
    if (offset % cluster_bytes_ != 0) {
        error(field, "offset {} is not a multiple of the cluster size", offset);
        return false;
    }
    if (!range_within(offset, bytes, file_end())) {
        error(field, "{} bytes at offset {} lie past the end of the file ({} bytes)", bytes, offset, file_.size_bytes());
        return false;
    }
    uint64_t first = cluster_of(offset), end = first + divide_up(bytes, cluster_bytes_), cluster = first;
    // It ends at the first overlap, so that all claims together take no more steps than the file has clusters.
    bool taken = false;
    for (; cluster < end && !taken; ++cluster) {
        taken = references_->count(cluster) > 0;
        references_->add(cluster, times);
    }
    if (taken) {
        --cluster;
        // Searching for the other is for the message alone.
        const Claim* other = report_.findings().size() < CheckReport::findings_max ? claim_at(cluster) : nullptr;
        error(field, "offset {} overlaps {}", cluster << cluster_bits_, other ? kind_name(other->kind) : "other metadata");
    }
    if (cluster > first) claims_.push_back({first, cluster - first, kind});
    return !taken;
}

// Claims do not overlap; they are sorted once they are complete, when searching becomes frequent.
const Checker::Claim* Checker::claim_at(uint64_t cluster) const {
    auto covers = [&](const Claim& claim) { return claim.first <= cluster && cluster < claim.first + claim.count; };
    auto found = claims_.begin();
    if (claims_sorted_) {
        found = std::ranges::upper_bound(claims_, cluster, {}, &Claim::first);
        if (found != claims_.begin()) --found;
        if (found != claims_.end() && !covers(*found)) found = claims_.end();
    } else {
        found = std::ranges::find_if(claims_, covers);
    }
    return found != claims_.end() ? &*found : nullptr;
}

// False, with findings, where nothing more can be checked.
Result<bool> Checker::check_header() {
    uint64_t size = file_.size_bytes();
    if (size < header_bytes_v2) {
        error("header", "the file has {} bytes, a header takes {}", size, header_bytes_v2);
        return false;
    }
    TRY(file_.read(0, bytes_of(header_).first(std::min<uint64_t>(size, sizeof header_))));
    uint32_t version = header_.version;
    if (header_.magic != magic || version < 2 || version > 3) {
        error("header", "magic 0x{:08x}, version {} is not a qcow2 file that is known here", uint32_t{header_.magic}, version);
        return false;
    }
    cluster_bits_ = header_.cluster_bits;
    if (cluster_bits_ < cluster_bits_min || cluster_bits_ > cluster_bits_max) {
        error("cluster_bits", "{} is not within {}..{}", cluster_bits_, cluster_bits_min, cluster_bits_max);
        return false;
    }
    cluster_bytes_ = uint64_t{1} << cluster_bits_;
    report_.virtual_bytes = header_.size;
    if (header_.size % sector_bytes != 0) report_.warning("size", "{} is not a multiple of 512", uint64_t{header_.size});
    if (header_.crypt_method > 2) error("crypt_method", "{} is unknown", uint32_t{header_.crypt_method});
    if (version == 2) return true;
    return check_header_fields(header_.header_length);
}

bool Checker::check_header_fields(uint32_t header_length) {
    if (header_length < header_bytes_v3 || header_length % 8 != 0 ||
        header_length > std::min(cluster_bytes_, file_.size_bytes())) {
        error("header_length", "{} is not a multiple of 8 within {}..{}", header_length, header_bytes_v3, cluster_bytes_);
        return false;
    }
    incompatible_ = header_.incompatible_features;
    refcount_order_ = header_.refcount_order;
    if (uint64_t unknown = incompatible_ & ~incompatible_known; unknown != 0) {
        error("incompatible_features", "bit {} is unknown", std::countr_zero(unknown));
        return false;
    }
    if (refcount_order_ > refcount_order_max) {
        error("refcount_order", "{} is larger than {}", refcount_order_, refcount_order_max);
        return false;
    }
    if (has(incompatible_dirty)) report_.warning("incompatible_features", "marked dirty: refcounts may be wrong");
    if (has(incompatible_corrupt)) report_.warning("incompatible_features", "marked corrupt");
    uint8_t type = header_length > header_bytes_v3 ? header_.compression_type : compression_zlib;
    if (type > compression_zstd || has(incompatible_compression) != (type != compression_zlib))
        error("compression_type", "{} is unknown or contradicts incompatible feature bit 3", type);
    if (has(incompatible_extended_l2)) {
        l2_entry_bytes_ = 16;
        if (cluster_bits_ < cluster_bits_min_extended)
            error("cluster_bits", "{} is less than {}, which extended L2 entries need", cluster_bits_,
                  cluster_bits_min_extended);
    }
    return true;
}

Result<void> Checker::check_extensions(uint32_t header_length) {
    uint64_t end = std::min(cluster_bytes_, file_.size_bytes());
    if (uint64_t name = header_.backing_file_offset; name != 0) {
        if (name < header_length || header_.backing_file_size > backing_name_bytes_max ||
            !range_within(name, header_.backing_file_size, end))
            error("backing_file_offset", "a name of {} bytes at offset {} is not behind the header in the first cluster",
                  uint32_t{header_.backing_file_size}, name);
        end = std::min(end, name);
    }
    bool named_data_file = false;
    std::map<uint32_t, int> seen;
    for (uint64_t at = header_length; range_within(at, sizeof(ExtensionHeader), end);) {
        ExtensionHeader extension;
        TRY(file_.read(at, bytes_of(extension)));
        uint32_t type = extension.type, length = extension.length;
        if (type == extension_end) break;
        std::string field = fmt::format("header extension 0x{:08x}", type);
        at += sizeof extension;
        if (!range_within(at, length, end)) {
            error(field, "{} bytes at offset {} lie past the end of the header cluster", length, at);
            break;
        }
        if (++seen[type] == 2) error(field, "is there twice");
        if (type == extension_data_file) named_data_file = true;
        if (type == extension_feature_names && length % sizeof(FeatureName) != 0)
            error(field, "{} bytes are no whole number of feature names", length);
        if (type == extension_encryption) {
            be64 place[2];
            if (length < sizeof place) {
                error(field, "{} bytes instead of {}", length, sizeof place);
            } else {
                TRY(file_.read(at, std::as_writable_bytes(std::span(place))));
                claim(field, Kind::encryption_header, place[0], place[1]);
            }
        }
        if (type == extension_bitmaps && (header_.autoclear_features & autoclear_bitmaps) != 0 && seen[type] == 1) {
            BitmapsExtension bitmaps;
            if (length != sizeof bitmaps) {
                error(field, "{} bytes instead of {}", length, sizeof bitmaps);
            } else {
                TRY(file_.read(at, bytes_of(bitmaps)));
                TRY(check_bitmaps(bitmaps));
            }
        }
        at += round_up(length, 8);
    }
    if (has(incompatible_data_file) != named_data_file)
        error("data file", "header extension and incompatible feature bit 2 contradict each other");
    return {};
}

Result<void> Checker::check_bitmaps(const BitmapsExtension& bitmaps) {
    uint64_t at = bitmaps.directory_offset, size = bitmaps.directory_size;
    if (bitmaps.nb_bitmaps == 0 || bitmaps.nb_bitmaps > bitmaps_max || size > bitmap_directory_bytes_max) {
        error("bitmap directory", "{} bitmaps in {} bytes are not possible", uint32_t{bitmaps.nb_bitmaps}, size);
        return {};
    }
    if (!claim("bitmap directory", Kind::bitmap_directory, at, size)) return {};
    uint64_t end = std::min(at + size, file_.size_bytes());
    for (uint32_t i = 0; i < bitmaps.nb_bitmaps; ++i) {
        std::string field = fmt::format("bitmap {}", i);
        BitmapDirectoryEntry entry;
        if (!range_within(at, sizeof entry, end)) {
            error(field, "its directory entry at offset {} lies past the directory's end", at);
            return {};
        }
        TRY(file_.read(at, bytes_of(entry)));
        at += round_up(sizeof entry + uint64_t{entry.extra_data_size} + entry.name_size, 8);
        if (entry.type != 1) error(field, "type {} is unknown", entry.type);
        if (entry.granularity_bits < 9 || entry.granularity_bits > 31)
            error(field, "granularity_bits {} is not within 9..31", entry.granularity_bits);
        if (entry.name_size == 0 || entry.name_size > 1023) error(field, "name_size {} is not within 1..1023",
                                                                  uint16_t{entry.name_size});
        if ((entry.flags & bitmap_in_use) != 0) report_.warning(field, "is marked in use: it is not to be trusted");
        TRY(check_bitmap_table(field, entry.table_offset, entry.table_size));
    }
    if (at != bitmaps.directory_offset + bitmaps.directory_size)
        error("bitmap directory", "its entries end at offset {} instead of {}", at,
              bitmaps.directory_offset + bitmaps.directory_size);
    return {};
}

Result<void> Checker::check_bitmap_table(const std::string& field, uint64_t offset, uint64_t entries) {
    if (!claim(field + ", table", Kind::bitmap_table, offset, entries * 8)) return {};
    if (!range_within(offset, entries * 8, file_.size_bytes())) return {};  // its last cluster is cut off, found elsewhere
    std::vector<be64> table(std::min<uint64_t>(entries, 8192));
    for (uint64_t first = 0; first < entries; first += table.size()) {
        auto part = std::span(table).first(std::min<uint64_t>(table.size(), entries - first));
        TRY(file_.read(offset + first * 8, std::as_writable_bytes(part)));
        for (uint64_t i = 0; i < part.size(); ++i) {
            uint64_t entry = part[i], data = entry & offset_mask;
            if (entry == 0 || entry == 1) continue;  // all zeros, all ones
            if (entry != data)
                error(fmt::format("{}, entry {}", field, first + i), "0x{:016x}: reserved bits are set", entry);
            else
                claim(fmt::format("{}, entry {}", field, first + i), Kind::bitmap_data, data, cluster_bytes_);
        }
    }
    return {};
}

Result<void> Checker::check_refcount_table() {
    uint64_t offset = header_.refcount_table_offset, bytes = header_.refcount_table_clusters * cluster_bytes_;
    if (bytes == 0 || bytes > refcount_table_bytes_max) {
        error("refcount_table_clusters", "{} is not within 8 MiB", uint32_t{header_.refcount_table_clusters});
        return {};
    }
    if (!claim("refcount table", Kind::refcount_table, offset, bytes)) return {};
    if (!range_within(offset, bytes, file_.size_bytes())) {
        error("refcount table", "{} bytes at offset {} lie past the end of the file", bytes, offset);
        return {};
    }
    std::vector<be64> table(bytes / 8);
    TRY(file_.read(offset, std::as_writable_bytes(std::span(table))));
    refcount_blocks_.assign(table.begin(), table.end());
    for (uint64_t i = 0; i < refcount_blocks_.size(); ++i) {
        uint64_t& block = refcount_blocks_[i];
        if (block == 0) continue;
        std::string field = fmt::format("refcount table, entry {}", i);
        if (block % sector_bytes != 0) error(field, "0x{:016x}: reserved bits are set", block);
        if (!claim(field, Kind::refcount_block, block, cluster_bytes_) || block + cluster_bytes_ > file_.size_bytes()) block = 0;
    }
    return {};
}

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

Result<void> Checker::compare_refcounts() {
    const uint64_t per_block = cluster_bytes_ * 8 >> refcount_order_, bits = uint64_t{1} << refcount_order_;
    std::vector<std::byte> block(cluster_bytes_);
    auto compare_with_zero = [&](uint64_t first, uint64_t end) {
        for (uint64_t c = references_->next_counted(first, end); c < end; c = references_->next_counted(c + 1, end))
            compare_one(c, 0);
    };
    for (uint64_t i = 0; i < refcount_blocks_.size(); ++i) {
        const uint64_t cluster = i * per_block;
        if (refcount_blocks_[i] == 0) {
            compare_with_zero(cluster, cluster + per_block);
            continue;
        }
        TRY(file_.read(refcount_blocks_[i], block));
        for (uint64_t j = 0; j < per_block; ++j) {
            uint64_t stored = 0;
            switch (refcount_order_) {
                case 3: stored = static_cast<uint8_t>(block[j]); break;
                case 4: stored = load_be<uint16_t>(block.data() + j * 2); break;
                case 5: stored = load_be<uint32_t>(block.data() + j * 4); break;
                case 6: stored = load_be<uint64_t>(block.data() + j * 8); break;
                default:  // several in a byte, the first in the lowest bits
                    stored = static_cast<uint8_t>(block[j * bits / 8]) >> (j * bits % 8) & ((1u << bits) - 1);
            }
            compare_one(cluster + j, stored);
        }
    }
    compare_with_zero(refcount_blocks_.size() * per_block, references_->cluster_count());
    end_mismatch();
    return {};
}

void Checker::compare_one(uint64_t cluster, uint64_t stored) {
    uint32_t counted = references_->count(cluster);
    if (stored == counted || (counted == ClusterReferences::count_max && stored > counted)) return;
    Mismatch& m = mismatch_;
    if (m.count > 0 && m.first + m.count == cluster && m.stored == stored && m.counted == counted) {
        ++m.count;
        return;
    }
    end_mismatch();
    m = {cluster, 1, stored, counted};
}

void Checker::end_mismatch() {
    const Mismatch& m = mismatch_;
    if (m.count == 0) return;
    std::string field = m.count == 1 ? fmt::format("refcount of cluster {}", m.first)
                                     : fmt::format("refcounts of clusters {}..{}", m.first, m.first + m.count - 1);
    // Too low is damage: the cluster may be given away while in use. Too high only wastes it.
    if (m.stored < m.counted && !has(incompatible_dirty))
        error(field, "{} is stored, {} references are there", m.stored, m.counted);
    else
        report_.warning(field, "{} is stored, {} references are there{}", m.stored, m.counted,
                        m.stored > m.counted ? " (leaked)" : "");
}

}  // namespace

Result<void> check_qcow2(const CheckedFile& file, CheckReport& report) { return Checker(file, report).run(); }

}  // namespace hyper
