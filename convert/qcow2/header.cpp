// SPDX-License-Identifier: Apache-2.0
#include "convert/qcow2/header.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstddef>

namespace hyper::qcow2 {

namespace {

std::string_view text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The names that the image itself gives to its feature bits, else what the specification calls them.
std::string feature_name(std::span<const std::byte> names, uint32_t bit) {
    for (; names.size() >= sizeof(FeatureName); names = names.subspan(sizeof(FeatureName))) {
        FeatureName entry;
        std::memcpy(&entry, names.data(), sizeof entry);
        if (entry.type != 0 || entry.bit != bit) continue;
        std::string name(entry.name, ::strnlen(entry.name, sizeof entry.name));
        std::replace_if(name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
        return fmt::format("bit {} (\"{}\")", bit, name);
    }
    return fmt::format("bit {}", bit);
}

// The first cluster, as far as the file has it.
class FirstCluster {
  public:
    FirstCluster(const File& file, ImageHeader& header) : file_(file), header_(header) {}

    Result<void> read() {
        TRY(read_fixed_part());
        bytes_.resize(std::min(header_.cluster_bytes, file_.size_bytes()));
        TRY(file_.read(0, bytes_));
        TRY(read_extensions());
        TRY(check_features());
        TRY(read_backing_name());
        return check_tables();
    }

  private:
    template <class... Args>
    auto refuse(int code, std::string_view field, fmt::format_string<Args...> format, Args&&... args) {
        return fail(code, "{}: {}: {}", file_.path(), field, fmt::format(format, std::forward<Args>(args)...));
    }

    Result<void> read_fixed_part();
    Result<void> read_extensions();
    Result<void> read_extension(uint32_t type, std::span<const std::byte> data);
    Result<void> read_bitmap_names(std::span<const std::byte> data);
    Result<void> check_features();
    Result<void> read_backing_name();
    Result<void> check_tables();

    const File& file_;
    ImageHeader& header_;
    Header raw_{};
    uint32_t header_length_ = header_bytes_v2;
    std::vector<std::byte> bytes_;
    std::span<const std::byte> feature_names_;  // within bytes_
};

Result<void> FirstCluster::read_fixed_part() {
    if (file_.size_bytes() < header_bytes_v2)
        return refuse(EINVAL, "header", "the file has {} bytes, a header takes {}", file_.size_bytes(), header_bytes_v2);
    TRY(file_.read(0, bytes_of(raw_).first(std::min<uint64_t>(sizeof raw_, file_.size_bytes()))));
    if (raw_.magic != magic)
        return refuse(EINVAL, "magic", "0x{:08x} is not that of qcow2 (0x{:08x})", uint32_t{raw_.magic}, magic);
    header_.version = raw_.version;
    if (header_.version != 2 && header_.version != 3)
        return refuse(ENOTSUP, "version", "{} is not read here (2 and 3 are)", header_.version);
    header_.cluster_bits = raw_.cluster_bits;
    if (header_.cluster_bits < cluster_bits_min || header_.cluster_bits > cluster_bits_max)
        return refuse(EINVAL, "cluster_bits", "{} is not within {}..{}", header_.cluster_bits, cluster_bits_min,
                      cluster_bits_max);
    header_.cluster_bytes = uint64_t{1} << header_.cluster_bits;
    header_.size_bytes = raw_.size;
    if (header_.size_bytes > disk_bytes_max)
        return refuse(EFBIG, "size", "{} bytes is larger than 64 TiB", header_.size_bytes);
    if (raw_.crypt_method != 0)
        return refuse(ENOTSUP, "crypt_method", "{} ({}): encrypted images are not read here", uint32_t{raw_.crypt_method},
                      raw_.crypt_method == 1 ? "AES" : raw_.crypt_method == 2 ? "LUKS" : "unknown");
    header_.l1_table_offset = raw_.l1_table_offset;
    header_.l1_size = raw_.l1_size;
    header_.refcount_table_offset = raw_.refcount_table_offset;
    header_.refcount_table_bytes = raw_.refcount_table_clusters * header_.cluster_bytes;
    header_.nb_snapshots = raw_.nb_snapshots;
    header_.snapshots_offset = raw_.snapshots_offset;
    if (header_.version == 2) return {};

    header_length_ = raw_.header_length;
    if (header_length_ < header_bytes_v3 || header_length_ > header_.cluster_bytes || header_length_ % 8 != 0 ||
        header_length_ > file_.size_bytes())
        return refuse(EINVAL, "header_length", "{} is not a multiple of 8 within {}..{}", header_length_,
                      header_bytes_v3, std::min(header_.cluster_bytes, file_.size_bytes()));
    header_.incompatible_features = raw_.incompatible_features;
    header_.compatible_features = raw_.compatible_features;
    header_.autoclear_features = raw_.autoclear_features;
    if (raw_.refcount_order > refcount_order_max)
        return refuse(EINVAL, "refcount_order", "{} is larger than {}", uint32_t{raw_.refcount_order},
                      refcount_order_max);
    header_.refcount_bits = 1u << raw_.refcount_order;
    if (header_length_ > header_bytes_v3) header_.compression_type = raw_.compression_type;
    return {};
}

Result<void> FirstCluster::read_extensions() {
    uint64_t end = bytes_.size();
    if (raw_.backing_file_offset != 0) end = std::min<uint64_t>(end, raw_.backing_file_offset);
    for (uint64_t at = header_length_; range_within(at, sizeof(ExtensionHeader), end);) {
        ExtensionHeader extension;
        std::memcpy(&extension, bytes_.data() + at, sizeof extension);
        if (extension.type == extension_end) break;
        at += sizeof extension;
        if (!range_within(at, extension.length, end))
            return refuse(EINVAL, "header extension", "0x{:08x} at offset {} has {} bytes, of which {} are there",
                          uint32_t{extension.type}, at - sizeof extension, uint32_t{extension.length}, end - at);
        TRY(read_extension(extension.type, std::span(bytes_).subspan(at, extension.length)));
        at += round_up(extension.length, 8);
    }
    return {};
}

Result<void> FirstCluster::read_extension(uint32_t type, std::span<const std::byte> data) {
    switch (type) {
        case extension_backing_format: header_.backing_format = text_of(data); break;
        case extension_feature_names: feature_names_ = data; break;
        case extension_data_file: header_.data_file = text_of(data); break;
        case extension_encryption:
            return refuse(ENOTSUP, "header extension", "full disk encryption (LUKS) is not read here");
        case extension_bitmaps:
            if ((header_.autoclear_features & autoclear_bitmaps) != 0) return read_bitmap_names(data);
            break;
        default: break;  // unknown extensions may be ignored, says the specification
    }
    return {};
}

Result<void> FirstCluster::read_bitmap_names(std::span<const std::byte> data) {
    BitmapsExtension bitmaps;
    if (data.size() < sizeof bitmaps)
        return refuse(EINVAL, "bitmaps extension", "{} bytes instead of {}", data.size(), sizeof bitmaps);
    std::memcpy(&bitmaps, data.data(), sizeof bitmaps);
    uint64_t size = bitmaps.directory_size, at = bitmaps.directory_offset;
    if (bitmaps.nb_bitmaps > bitmaps_max || size > bitmap_directory_bytes_max ||
        !range_within(at, size, file_.size_bytes()))
        return refuse(EINVAL, "bitmap directory", "{} bitmaps in {} bytes at offset {} are not possible here",
                      uint32_t{bitmaps.nb_bitmaps}, size, at);
    uint64_t end = at + size;
    for (uint32_t i = 0; i < bitmaps.nb_bitmaps; ++i) {
        BitmapDirectoryEntry entry;
        if (!range_within(at, sizeof entry, end))
            return refuse(EINVAL, "bitmap directory", "ends within entry {} of {}", i, uint32_t{bitmaps.nb_bitmaps});
        TRY(file_.read(at, bytes_of(entry)));
        uint64_t entry_bytes = round_up(sizeof entry + uint64_t{entry.extra_data_size} + entry.name_size, 8);
        if (!range_within(at, entry_bytes, end))
            return refuse(EINVAL, "bitmap directory", "entry {} is {} bytes long, which is past its end", i, entry_bytes);
        std::string name(entry.name_size, '\0');
        TRY(file_.read(at + sizeof entry + entry.extra_data_size, std::as_writable_bytes(std::span(name))));
        if ((entry.flags & bitmap_in_use) != 0) name += " (in use: not to be trusted)";
        header_.bitmaps.push_back(std::move(name));
        at += entry_bytes;
    }
    return {};
}

Result<void> FirstCluster::check_features() {
    if (uint64_t unknown = header_.incompatible_features & ~incompatible_known; unknown != 0)
        return refuse(ENOTSUP, "incompatible_features", "{} is a feature that is not read here",
                      feature_name(feature_names_, static_cast<uint32_t>(std::countr_zero(unknown))));
    bool typed = (header_.incompatible_features & incompatible_compression) != 0;
    if (header_.compression_type > compression_zstd)
        return refuse(ENOTSUP, "compression_type", "{} is not read here (0 zlib, 1 zstd)", header_.compression_type);
    if (typed != (header_.compression_type != compression_zlib))
        return refuse(EINVAL, "compression_type", "{} contradicts incompatible feature bit 3", header_.compression_type);
    if (header_.extended_l2() && header_.cluster_bits < cluster_bits_min_extended)
        return refuse(EINVAL, "cluster_bits", "{} is less than {}, which extended L2 entries need", header_.cluster_bits,
                      cluster_bits_min_extended);
    if (header_.has_data_file() && header_.data_file.empty())
        return refuse(EINVAL, "data file", "the image has an external data file but does not name it");
    return {};
}

Result<void> FirstCluster::read_backing_name() {
    if (raw_.backing_file_offset == 0) return {};
    uint64_t size = raw_.backing_file_size;
    if (size > backing_name_bytes_max || !range_within(raw_.backing_file_offset, size, bytes_.size()))
        return refuse(EINVAL, "backing_file_offset", "a name of {} bytes at offset {} does not lie in the first cluster",
                      size, uint64_t{raw_.backing_file_offset});
    header_.backing_file = text_of(std::span(bytes_).subspan(raw_.backing_file_offset, size));
    return {};
}

Result<void> FirstCluster::check_tables() {
    if (header_.l1_size > l1_bytes_max / 8)
        return refuse(EINVAL, "l1_size", "{} entries are more than 32 MiB", header_.l1_size);
    if (header_.l1_size < divide_up(header_.size_bytes, header_.l2_covers()))
        return refuse(EINVAL, "l1_size", "{} entries are too few for a disk of {} bytes", header_.l1_size,
                      header_.size_bytes);
    if (header_.refcount_table_bytes > refcount_table_bytes_max)
        return refuse(EINVAL, "refcount_table_clusters", "{} clusters are more than 8 MiB",
                      uint32_t{raw_.refcount_table_clusters});
    if (header_.refcount_table_offset % header_.cluster_bytes != 0)
        return refuse(EINVAL, "refcount_table_offset", "{} is not a multiple of the cluster size",
                      header_.refcount_table_offset);
    if (header_.nb_snapshots > snapshots_max)
        return refuse(EINVAL, "nb_snapshots", "{} is more than {}", header_.nb_snapshots, snapshots_max);
    if (header_.nb_snapshots > 0 && header_.snapshots_offset % header_.cluster_bytes != 0)
        return refuse(EINVAL, "snapshots_offset", "{} is not a multiple of the cluster size", header_.snapshots_offset);
    return {};
}

}  // namespace

Result<ImageHeader> read_header(const File& file) {
    ImageHeader header;
    TRY(FirstCluster(file, header).read());
    return header;
}

Result<std::vector<Snapshot>> read_snapshots(const File& file, const ImageHeader& header) {
    std::vector<Snapshot> snapshots;
    uint64_t at = header.snapshots_offset;
    // The table's end is known by walking it only; a table of more than 64 MiB is refused, as QEMU does.
    uint64_t end = checked_add(at, snapshot_table_bytes_max).value_or(at);
    end = std::min(end, file.size_bytes());
    for (uint32_t i = 0; i < header.nb_snapshots; ++i) {
        SnapshotEntry entry;
        auto refuse = [&](std::string_view what, uint64_t value) {
            return fail(EINVAL, "{}: snapshot table entry {} of {} at offset {}: {} ({})", file.path(), i,
                        header.nb_snapshots, at, what, value);
        };
        if (!range_within(at, sizeof entry, end)) return refuse("lies past the end of the file or of 64 MiB", end);
        TRY(file.read(at, bytes_of(entry)));
        if (entry.extra_data_size > snapshot_extra_bytes_max)
            return refuse("extra_data_size is more than 1024", entry.extra_data_size);
        uint64_t tail_bytes = uint64_t{entry.extra_data_size} + entry.id_size + entry.name_size;
        if (!range_within(at, sizeof entry + tail_bytes, end))
            return refuse("is longer than the file or 64 MiB", sizeof entry + tail_bytes);
        std::vector<std::byte> tail(tail_bytes);
        TRY(file.read(at + sizeof entry, tail));
        Snapshot snapshot;
        std::string_view names = text_of(std::span(tail).subspan(entry.extra_data_size));
        snapshot.id = names.substr(0, entry.id_size);
        snapshot.name = names.substr(entry.id_size);
        snapshot.l1_table_offset = entry.l1_table_offset;
        snapshot.l1_size = entry.l1_size;
        SnapshotExtra extra;
        if (tail.size() >= sizeof extra && entry.extra_data_size >= sizeof extra) {
            std::memcpy(&extra, tail.data(), sizeof extra);
            snapshot.size_bytes = extra.disk_size;
        } else if (header.version >= 3) {
            return refuse("extra_data_size is less than 16", entry.extra_data_size);
        }
        snapshots.push_back(std::move(snapshot));
        at = round_up(at + sizeof entry + tail_bytes, 8);
    }
    return snapshots;
}

}  // namespace hyper::qcow2
