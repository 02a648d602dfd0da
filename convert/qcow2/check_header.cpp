// SPDX-License-Identifier: Apache-2.0
// The header, its extensions, and the bitmaps that one of these leads to.
#include <algorithm>
#include <bit>
#include <map>

#include "convert/qcow2/check.h"

namespace hyper::qcow2 {

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

}  // namespace hyper::qcow2
