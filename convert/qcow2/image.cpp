// SPDX-License-Identifier: Apache-2.0
// The reader: guest ranges to places in the image file, its data file and its parent.
//
// Design note. The L1 table (32 MiB at most) is kept in memory, in host order; parts of L2 tables come through the
// engine's cache when they are needed. Opening refuses what is wrong with header, L1 table and snapshots as a whole;
// a bad entry is EIO for the range that it stands for, so that the rest of a damaged image can still be read.
// Nothing may point into the header, the L1 table or the refcount table. That L2 tables and data overlap is
// for the checker to find (check.cpp): it takes a pass over all tables.
#include <algorithm>
#include <bit>
#include <cerrno>

#include "convert/qcow2/header.h"
#include "convert/qcow2/qcow2.h"

namespace hyper {

namespace {

using namespace qcow2;

constexpr uint64_t l1_reserved = ~(offset_mask | flag_copied);
constexpr uint64_t l2_reserved = ~(offset_mask | flag_copied | flag_compressed | flag_zero);
// L2 tables are read in parts of this size: large clusters would make a random read expensive else.
constexpr uint64_t slice_bytes_max = 64 * KiB;

class Qcow2Image : public Image {
  public:
    explicit Qcow2Image(std::shared_ptr<const File> file) : Image(*file), file_(std::move(file)) {}

    Result<void> open(Opening& opening);
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override;

  private:
    struct Region {
        const char* name;
        uint64_t offset, end;
    };
    // Where a guest range stands in the tables, for messages.
    struct Place {
        uint64_t l1_index, l2_index, value;
    };

    Result<void> select_snapshot(Opening& opening);
    Result<void> read_l1(Opening& opening, uint64_t table_offset, uint32_t entries);
    Result<void> open_others(Opening& opening);
    void describe();

    Result<void> map_l2(uint64_t offset, uint64_t end, PieceList& out) const;
    Result<void> map_compressed(const Place& place, uint64_t within, uint64_t length, PieceList& out) const;
    Result<void> map_subclusters(const Place& place, uint64_t bitmap, uint64_t offset, uint64_t length,
                                 PieceList& out) const;
    Result<void> map_data(const Place& place, uint64_t within, uint64_t length, PieceList& out) const;
    // May cover less when `out` becomes full.
    Result<void> check_place(const Region& range) const;

    template <class... Args>
    auto bad_entry(const Place& place, fmt::format_string<Args...> format, Args&&... args) const {
        return fail(EIO, "{}: L2 table {}, entry {} (0x{:016x}): {}", path_, place.l1_index, place.l2_index, place.value,
                    fmt::format(format, std::forward<Args>(args)...));
    }

    std::shared_ptr<const File> file_;
    std::shared_ptr<const File> data_file_;  // file_ where there is no external one
    BlockCache* cache_ = nullptr;
    ImageHeader header_;
    std::vector<uint64_t> l1_;
    std::vector<Region> metadata_;  // where no table entry may point
};

Result<void> Qcow2Image::open(Opening& opening) {
    cache_ = &opening.engine().cache();
    header_ = TRY(read_header(*file_));
    size_bytes_ = header_.size_bytes;
    metadata_.push_back({"header", 0, header_.cluster_bytes});
    uint64_t refcounts = header_.refcount_table_offset;
    if (header_.refcount_table_bytes > 0 && range_within(refcounts, header_.refcount_table_bytes, file_->size_bytes()))
        metadata_.push_back({"refcount table", refcounts, refcounts + header_.refcount_table_bytes});
    TRY(select_snapshot(opening));
    TRY(open_others(opening));
    describe();
    return {};
}

Result<void> Qcow2Image::select_snapshot(Opening& opening) {
    const std::string& wanted = opening.options().snapshot;
    std::vector<Snapshot> snapshots = TRY(read_snapshots(*file_, header_));
    for (const Snapshot& snapshot : snapshots) info_.snapshots.push_back(snapshot.name);
    if (wanted.empty()) return read_l1(opening, header_.l1_table_offset, header_.l1_size);
    // A name goes before an id, as a name may well look like the id of another.
    auto found = std::ranges::find(snapshots, wanted, &Snapshot::name);
    if (found == snapshots.end()) found = std::ranges::find(snapshots, wanted, &Snapshot::id);
    if (found == snapshots.end()) return fail(ENOENT, "{}: snapshot \"{}\" does not exist", path_, wanted);
    size_bytes_ = found->size_bytes.value_or(header_.size_bytes);
    if (size_bytes_ > disk_bytes_max)
        return fail(EFBIG, "{}: snapshot \"{}\": disk size {} is larger than 64 TiB", path_, wanted, size_bytes_);
    identity_ = identity_.with("snapshot " + found->id + " " + found->name);
    return read_l1(opening, found->l1_table_offset, found->l1_size);
}

Result<void> Qcow2Image::read_l1(Opening& opening, uint64_t table_offset, uint32_t entries) {
    uint64_t needed = divide_up(size_bytes_, header_.l2_covers());
    if (needed > entries || entries > l1_bytes_max / 8)
        return fail(EINVAL, "{}: l1_size: {} entries do not fit a disk of {} bytes, which takes {}, at most 32 MiB",
                    path_, entries, size_bytes_, needed);
    if (entries == 0) return {};
    if (table_offset % header_.cluster_bytes != 0)
        return fail(EINVAL, "{}: l1_table_offset: {} is not a multiple of the cluster size", path_, table_offset);
    if (!range_within(table_offset, uint64_t{entries} * 8, file_->size_bytes()))
        return fail(EINVAL, "{}: l1_table_offset: {} entries at offset {} lie past the end of the file ({} bytes)", path_,
                    entries, table_offset, file_->size_bytes());
    Region l1{"L1 table", table_offset, table_offset + uint64_t{entries} * 8};
    if (auto apart = check_place(l1); !apart)
        return fail(EINVAL, "{}: l1_table_offset: {}", path_, apart.error().message);
    metadata_.push_back(l1);
    TRY(opening.hold_tables(*file_, needed * 8));
    l1_.resize(needed);
    TRY(file_->read(table_offset, std::as_writable_bytes(std::span(l1_))));
    // No two entries share a table: a small file could describe more clusters than anybody can walk through else.
    std::vector<uint64_t> tables;
    for (uint64_t& entry : l1_) {
        entry = swap_bytes(entry);
        if ((entry & offset_mask) != 0) tables.push_back(entry & offset_mask);
    }
    if (!std::ranges::is_sorted(tables)) std::ranges::sort(tables);
    if (auto twice = std::ranges::adjacent_find(tables); twice != tables.end())
        return fail(EINVAL, "{}: L1 table: two entries lead to the L2 table at offset {}", path_, *twice);
    return {};
}

Result<void> Qcow2Image::open_others(Opening& opening) {
    data_file_ = file_;
    if (header_.has_data_file()) {
        data_file_ = TRY(opening.open_reference(*file_, "data file", header_.data_file));
        if (data_file_->device() == file_->device() && data_file_->inode() == file_->inode())
            return fail(EINVAL, "{}: data file: \"{}\" is the image itself", path_, header_.data_file);
        data_paths_.push_back(data_file_->path());
        Hash128 digest = identity_of(*data_file_).digest;
        identity_ = identity_.with("data file " + uuid_text(digest));
    }
    if (header_.backing_file.empty()) return {};
    std::optional<Format> format;
    if (header_.backing_format) {
        format = parse_format(*header_.backing_format);
        if (!format)
            return fail(ENOTSUP, "{}: backing format: \"{}\" is not read here", path_, *header_.backing_format);
    }
    parent_ = TRY(opening.open_parent(*file_, "backing file", header_.backing_file, format));
    identity_ = identity_.with("backing file " + uuid_text(parent_->identity().digest));
    return {};
}

void Qcow2Image::describe() {
    info_.format = Format::qcow2;
    auto add = [&](std::string name, std::string value) { info_.details.push_back({std::move(name), std::move(value)}); };
    add("version", header_.version == 2 ? "2 (compat 0.10)" : "3 (compat 1.1)");
    add("cluster size", std::to_string(header_.cluster_bytes));
    add("compression type", header_.compression_type == compression_zstd ? "zstd" : "zlib");
    add("refcount bits", std::to_string(header_.refcount_bits));
    if (header_.version >= 3) {
        add("lazy refcounts", (header_.compatible_features & compatible_lazy_refcounts) != 0 ? "yes" : "no");
        add("extended L2", header_.extended_l2() ? "yes" : "no");
    }
    if (!header_.backing_file.empty()) add("backing file", header_.backing_file);
    if (header_.backing_format) add("backing format", *header_.backing_format);
    if (header_.has_data_file()) {
        add("data file", header_.data_file);
        add("data file raw", (header_.autoclear_features & autoclear_raw_data_file) != 0 ? "yes" : "no");
    }
    for (const std::string& bitmap : header_.bitmaps) add("bitmap", bitmap);
    if ((header_.incompatible_features & incompatible_dirty) != 0)
        info_.warnings.push_back("marked dirty: it was not closed properly, its refcounts may be wrong (its data is read)");
    if ((header_.incompatible_features & incompatible_corrupt) != 0)
        info_.warnings.push_back("marked corrupt: what is read from it may be wrong (run a check)");
}

// The error's message is the end of a sentence: "lies in the header".
Result<void> Qcow2Image::check_place(const Region& range) const {
    for (const Region& region : metadata_)
        if (range.offset < region.end && region.offset < range.end)
            return fail(EIO, "the {} at offset {} lies in the {}", range.name, range.offset, region.name);
    return {};
}

Result<void> Qcow2Image::map(uint64_t offset, uint64_t length, PieceList& out) const {
    uint64_t start = out.length(), end = offset + length;
    for (uint64_t at = offset; at < end && !out.full(); at = offset + (out.length() - start)) {
        uint64_t index = at / header_.l2_covers(), next = index;
        while (next < l1_.size() && (l1_[next] & ~flag_copied) == 0 && next * header_.l2_covers() < end) ++next;
        if (next > index) {
            TRY(map_parent(parent_.get(), at, std::min(end, next * header_.l2_covers()) - at, out));
        } else {
            TRY(map_l2(at, end, out));
        }
    }
    return {};
}

Result<void> Qcow2Image::map_l2(uint64_t offset, uint64_t end, PieceList& out) const {
    const uint64_t cluster = header_.cluster_bytes, entry_bytes = header_.l2_entry_bytes();
    Place place{offset / header_.l2_covers(), offset % header_.l2_covers() / cluster, 0};
    uint64_t l1_entry = l1_[place.l1_index], table = l1_entry & offset_mask;
    if ((l1_entry & l1_reserved) != 0 || table % cluster != 0)
        return fail(EIO, "{}: L1 entry {} (0x{:016x}): the offset is not a multiple of the cluster size, or reserved bits are set",
                    path_, place.l1_index, l1_entry);
    if (auto apart = check_place({"L2 table", table, table + cluster}); !apart)
        return fail(EIO, "{}: L1 entry {} (0x{:016x}): {}", path_, place.l1_index, l1_entry, apart.error().message);
    const uint64_t slice_bytes = std::min(cluster, slice_bytes_max), slice_entries = slice_bytes / entry_bytes;
    uint64_t first = place.l2_index / slice_entries * slice_entries;
    if (!range_within(table + first * entry_bytes, slice_bytes, file_->size_bytes()))
        return fail(EIO, "{}: L1 entry {} (0x{:016x}): the L2 table at offset {} lies past the end of the file ({} bytes)",
                    path_, place.l1_index, l1_entry, table, file_->size_bytes());
    auto slice = TRY(cache_->read(*file_, table + first * entry_bytes, slice_bytes));

    const std::byte* entries = slice->data();
    auto entry_at = [&](uint64_t index) { return load_be<uint64_t>(entries + (index - first) * entry_bytes); };
    auto bitmap_at = [&](uint64_t index) { return load_be<uint64_t>(entries + (index - first) * entry_bytes + 8); };
    const bool extended = header_.extended_l2();
    auto plainly_unallocated = [&](uint64_t index) {
        return entry_at(index) == 0 && (!extended || bitmap_at(index) == 0);
    };
    uint64_t start = out.length(), from = offset;
    while (offset < end && place.l2_index < first + slice_entries && !out.full()) {
        const uint64_t within = offset % cluster;
        uint64_t next = place.l2_index + 1, length = std::min(cluster - within, end - offset);
        place.value = entry_at(place.l2_index);
        if ((place.value & flag_compressed) != 0) {
            TRY(map_compressed(place, within, length, out));
        } else if (plainly_unallocated(place.l2_index)) {
            for (; length < end - offset && next < first + slice_entries && plainly_unallocated(next); ++next)
                length = std::min(length + cluster, end - offset);
            TRY(map_parent(parent_.get(), offset, length, out));
        } else if ((place.value & l2_reserved) != 0 || (extended && (place.value & flag_zero) != 0)) {
            return bad_entry(place, "reserved bits are set");
        } else if (extended) {
            TRY(map_subclusters(place, bitmap_at(place.l2_index), offset, length, out));
        } else if ((place.value & flag_zero) != 0) {
            if (header_.version < 3) return bad_entry(place, "a zero cluster, which version 2 does not have");
            out.zeros(length);
        } else if ((place.value & offset_mask) == 0 && !(header_.has_data_file() && (place.value & flag_copied) != 0)) {
            TRY(map_parent(parent_.get(), offset, length, out));
        } else {
            TRY(map_data(place, within, length, out));
        }
        place.l2_index = next;
        offset += length;
        if (out.length() - start != offset - from) break;  // full within the parent
    }
    return {};
}

Result<void> Qcow2Image::map_compressed(const Place& place, uint64_t within, uint64_t length, PieceList& out) const {
    if (header_.has_data_file()) return bad_entry(place, "a compressed cluster in an image with a data file");
    CompressedPlace stored = compressed_place(place.value, header_.cluster_bits);
    // The stored size is an upper bound, so only the start is sure to be the cluster's own.
    if (auto apart = check_place({"compressed cluster", stored.offset, stored.offset + 1}); !apart)
        return bad_entry(place, "{}", apart.error().message);
    if (stored.offset >= file_->size_bytes())
        return bad_entry(place, "the compressed cluster at offset {} lies past the end of the file ({} bytes)",
                         stored.offset, file_->size_bytes());
    Codec codec = header_.compression_type == compression_zstd ? Codec::zstd : Codec::deflate;
    out.compressed({file_, stored.offset, stored.stored_bytes, static_cast<uint32_t>(header_.cluster_bytes),
                    static_cast<uint32_t>(within), codec},
                   length);
    return {};
}

Result<void> Qcow2Image::map_subclusters(const Place& place, uint64_t bitmap, uint64_t offset, uint64_t length,
                                         PieceList& out) const {
    uint32_t allocated = static_cast<uint32_t>(bitmap), zero = static_cast<uint32_t>(bitmap >> 32);
    bool has_place = (place.value & offset_mask) != 0 || (header_.has_data_file() && (place.value & flag_copied) != 0);
    if ((allocated & zero) != 0 || (allocated != 0 && !has_place))
        return bad_entry(place, "its subcluster bitmap 0x{:016x} contradicts itself or the entry", bitmap);
    const uint64_t subcluster = header_.cluster_bytes / subclusters_per_cluster, end = offset + length;
    while (offset < end && !out.full()) {
        uint64_t within = offset % header_.cluster_bytes;
        uint32_t first = static_cast<uint32_t>(within / subcluster);
        uint32_t same = allocated >> first & 1 ? allocated : zero >> first & 1 ? zero : ~(allocated | zero);
        uint32_t run = static_cast<uint32_t>(std::countr_one(same >> first));
        uint64_t take = std::min(end - offset, (first + run) * subcluster - within);
        uint64_t before = out.length();
        if (same == allocated)
            TRY(map_data(place, within, take, out));
        else if (same == zero)
            out.zeros(take);
        else
            TRY(map_parent(parent_.get(), offset, take, out));
        if (out.length() - before != take) break;  // full within the parent
        offset += take;
    }
    return {};
}

Result<void> Qcow2Image::map_data(const Place& place, uint64_t within, uint64_t length, PieceList& out) const {
    uint64_t host = place.value & offset_mask;
    if (host % header_.cluster_bytes != 0) return bad_entry(place, "the offset is not a multiple of the cluster size");
    if (data_file_ == file_)
        if (auto apart = check_place({"data", host, host + header_.cluster_bytes}); !apart)
            return bad_entry(place, "{}", apart.error().message);
    if (!range_within(host + within, length, data_file_->size_bytes()))
        return bad_entry(place, "{} bytes at offset {} lie past the end of {} ({} bytes)", length, host + within,
                         data_file_->path(), data_file_->size_bytes());
    out.file(data_file_, host + within, length);
    return {};
}

}  // namespace

Result<std::shared_ptr<const Image>> open_qcow2(Opening& opening, std::shared_ptr<const File> file) {
    auto image = std::make_shared<Qcow2Image>(std::move(file));
    TRY(image->open(opening));
    return image;
}

}  // namespace hyper
