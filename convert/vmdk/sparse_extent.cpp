// SPDX-License-Identifier: Apache-2.0
#include "convert/vmdk/sparse_extent.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

namespace hyper::vmdk {

Result<std::unique_ptr<const SparseExtent>> SparseExtent::open(Engine& engine, std::shared_ptr<const File> file) {
    std::unique_ptr<SparseExtent> extent(new SparseExtent(engine, std::move(file)));
    TRY(extent->read_header());
    TRY(extent->read_directory());
    return extent;
}

Result<void> SparseExtent::read_header() {
    const std::string& path = file_->path();
    if (file_->size_bytes() < sizeof header_)
        return fail(EINVAL, "{}: {} bytes are too few for a sparse extent", path, file_->size_bytes());
    TRY(file_->read(0, bytes_of(header_)));
    if (header_.magic == magic_cowd)
        return fail(ENOTSUP, "{}: a COWD (vmfsSparse) extent, as ESXi writes for snapshots, is not read", path);
    if (header_.magic == magic_sesparse)
        return fail(ENOTSUP, "{}: a seSparse extent, as ESXi writes for snapshots, is not read", path);
    if (header_.magic != magic_sparse)
        return fail(EINVAL, "{}: magic {:#010x} is not that of a sparse extent", path, uint32_t{header_.magic});
    TRY(check_header());
    if (header_.gd_offset == gd_at_end) TRY(read_footer());
    grain_bytes_ = header_.grain_size * sector_bytes;
    metadata_end_ = sector_bytes;
    if (header_.descriptor_offset != 0) {
        uint64_t offset = header_.descriptor_offset, size = header_.descriptor_size;
        if (!range_within(offset, size, file_->size_bytes() / sector_bytes))
            return fail(EINVAL, "{}: descriptorOffset {} and descriptorSize {} reach past the end of the file", path,
                        offset, size);
        if (size * sector_bytes > descriptor_bytes_max)
            return fail(EINVAL, "{}: descriptorSize {} is more than 1 MiB", path, size);
        metadata_end_ = std::max(metadata_end_, (offset + size) * sector_bytes);
    }
    return {};
}

Result<void> SparseExtent::check_header() const {
    const std::string& path = file_->path();
    const SparseHeader& h = header_;
    constexpr uint32_t incompatible_known = flag_compressed | flag_markers;
    if (h.version < 1 || h.version > 3)
        return fail(ENOTSUP, "{}: version {} is not read (known are 1 to 3)", path, uint32_t{h.version});
    if ((h.flags & 0xffff0000 & ~incompatible_known) != 0)
        return fail(ENOTSUP, "{}: flags {:#x} have bits that are not known", path, uint32_t{h.flags});
    if ((h.flags & flag_newline_test) != 0 && std::memcmp(h.newline_test, newline_test, sizeof newline_test) != 0)
        return fail(EINVAL, "{}: the newline test has changed: the file was transferred as text; copy it again as binary",
                    path);
    if (h.capacity == 0 || h.capacity > disk_bytes_max / sector_bytes)
        return fail(h.capacity == 0 ? EINVAL : EFBIG, "{}: capacity {} sectors is not within 1 sector and 64 TiB", path,
                    uint64_t{h.capacity});
    uint64_t grain = h.grain_size;
    if (grain < grain_sectors_min || grain > grain_sectors_max || !std::has_single_bit(grain))
        return fail(EINVAL, "{}: grainSize {} is not a power of two within {}..{} sectors", path, grain,
                    grain_sectors_min, grain_sectors_max);
    if (h.gtes_per_gt != gtes_per_gt)
        return fail(ENOTSUP, "{}: numGTEsPerGT {} is not {}", path, uint32_t{h.gtes_per_gt}, gtes_per_gt);
    if (compressed()) {
        if (h.compress_algorithm != compress_deflate)
            return fail(ENOTSUP, "{}: compressAlgorithm {} is not known (1 is deflate)", path,
                        uint16_t{h.compress_algorithm});
        if ((h.flags & flag_markers) == 0)
            return fail(ENOTSUP, "{}: flags {:#x}: compressed grains without markers are not read", path,
                        uint32_t{h.flags});
    }
    return {};
}

// The stream's footer lies before the end-of-stream marker; it is the header with the true gdOffset.
Result<void> SparseExtent::read_footer() {
    const std::string& path = file_->path();
    struct {
        Marker marker;
        SparseHeader header;
        Marker end;
    } footer;
    uint64_t size = file_->size_bytes();
    if (size < sizeof header_ + sizeof footer || size % sector_bytes != 0)
        return fail(EINVAL, "{}: gdOffset is at the end, but there is no footer in {} bytes: the file is cut short", path,
                    size);
    TRY(file_->read(size - sizeof footer, bytes_of(footer)));
    if (footer.marker.sectors != 1 || footer.marker.size != 0 || footer.marker.type != marker_footer ||
        footer.header.magic != magic_sparse || footer.end.size != 0 || footer.end.type != marker_eos)
        return fail(EINVAL, "{}: no footer before the end of the file: the file is cut short", path);
    SparseHeader expected = header_;
    expected.gd_offset = footer.header.gd_offset;
    if (std::memcmp(&expected, &footer.header, sizeof expected) != 0)
        return fail(EINVAL, "{}: the footer differs from the header in more than gdOffset", path);
    if (footer.header.gd_offset == gd_at_end)
        return fail(EINVAL, "{}: gdOffset of the footer is not set", path);
    header_ = footer.header;
    return {};
}

Result<void> SparseExtent::read_directory() {
    const std::string& path = file_->path();
    uint64_t count = divide_up(header_.capacity, header_.grain_size * gtes_per_gt);
    uint64_t bytes = count * sizeof gd_[0], offset = header_.gd_offset;
    if (bytes > gd_bytes_max)
        return fail(EFBIG, "{}: capacity {} with grainSize {} needs a grain directory of {} bytes; at most {} are read",
                    path, uint64_t{header_.capacity}, uint64_t{header_.grain_size}, bytes, gd_bytes_max);
    if (offset < metadata_end_ / sector_bytes)
        return fail(EINVAL, "{}: gdOffset {} lies within header or descriptor", path, offset);
    if (offset > file_->size_bytes() / sector_bytes || bytes > file_->size_bytes() - offset * sector_bytes)
        return fail(EINVAL, "{}: gdOffset {} and its {} bytes reach past the end of the file ({} bytes)", path, offset,
                    bytes, file_->size_bytes());
    gd_.resize(count);
    TRY(file_->read(offset * sector_bytes, std::as_writable_bytes(std::span(gd_))));
    // No two entries share a table: a small file could describe more grains than anybody can walk through else.
    std::vector<uint32_t> tables;
    for (uint32_t table : gd_)
        if (table != 0) tables.push_back(table);
    if (!std::ranges::is_sorted(tables)) std::ranges::sort(tables);
    auto close = [](uint32_t a, uint32_t b) { return b - a < gt_sectors; };
    if (auto twice = std::ranges::adjacent_find(tables, close); twice != tables.end())
        return fail(EINVAL, "{}: grain directory: the grain table at sector {} overlaps another", path, *twice);
    return {};
}

Result<std::string> SparseExtent::read_descriptor() const {
    std::string text;
    if (header_.descriptor_offset == 0) return text;
    text.resize(header_.descriptor_size * sector_bytes);
    TRY(file_->read(header_.descriptor_offset * sector_bytes, std::as_writable_bytes(std::span(text))));
    return text;
}

namespace {

// The last grain of a disk that ends within it. VMware's writers pad it with zeros before it is compressed, qemu-img does
// not, so the stream may give either.
class LastGrain : public Producer {
  public:
    LastGrain(Engine& engine, std::shared_ptr<const File> file, uint64_t offset, uint64_t stored_bytes,
              uint64_t grain_bytes, uint64_t disk_bytes)
        : engine_(engine), file_(std::move(file)), offset_(offset), stored_bytes_(stored_bytes),
          grain_bytes_(grain_bytes), disk_bytes_(disk_bytes) {}

    Result<void> produce(uint64_t offset, std::span<std::byte> out) const override {
        auto grain = engine_.cache().get(file_->id(), unpacked_key(offset_));
        if (!grain || grain->size() < disk_bytes_) {
            std::vector<std::byte> stored(stored_bytes_);
            TRY(file_->read(offset_, stored));
            auto unpacked = std::make_shared<Bytes>(grain_bytes_);
            if (!unpack(Codec::zlib, stored, *unpacked)) {
                unpacked->resize(disk_bytes_);
                auto result = unpack(Codec::zlib, stored, *unpacked);
                if (!result)
                    return fail(EIO, "{}: last grain, at offset {}: {}", file_->path(), offset_, result.error().message);
            }
            engine_.cache().put(file_->id(), unpacked_key(offset_), unpacked);
            grain = std::move(unpacked);
        }
        std::memcpy(out.data(), grain->data() + offset, out.size());
        return {};
    }

  private:
    Engine& engine_;
    std::shared_ptr<const File> file_;
    uint64_t offset_, stored_bytes_, grain_bytes_, disk_bytes_;
};

}  // namespace

Result<void> SparseExtent::map(uint64_t offset, uint64_t length, const Source* beneath, uint64_t beneath_offset,
                               PieceList& out) const {
    uint64_t table_covers = grain_bytes_ * gtes_per_gt, end = offset + length;
    while (offset < end && !out.full()) {
        uint64_t index = offset / table_covers, before = out.length();
        if (gd_[index] == 0) {
            uint64_t next = index + 1;
            while (next < gd_.size() && next * table_covers < end && gd_[next] == 0) ++next;
            uint64_t run = std::min(end, next * table_covers) - offset;
            TRY(map_parent(beneath, beneath_offset + offset, run, out));
        } else {
            uint64_t run = std::min(end, (index + 1) * table_covers) - offset;
            TRY(map_in_table(offset, run, beneath, beneath_offset, out));
        }
        offset += out.length() - before;
    }
    return {};
}

Result<void> SparseExtent::map_in_table(uint64_t offset, uint64_t length, const Source* beneath,
                                        uint64_t beneath_offset, PieceList& out) const {
    uint64_t index = offset / (grain_bytes_ * gtes_per_gt), at = uint64_t{gd_[index]} * sector_bytes;
    if (at < metadata_end_ || !range_within(at, gt_bytes, file_->size_bytes()))
        return fail(EIO, "{}: grain directory entry {}: grain table at sector {} lies {}", file_->path(), index,
                    gd_[index], at < metadata_end_ ? "within header or descriptor" : "past the end of the file");
    auto table = TRY(engine_.cache().read(*file_, at, gt_bytes));
    bool zero_grains = (header_.flags & flag_zero_grains) != 0;
    auto entry_of = [&](uint64_t grain) { return load_le<uint32_t>(table->data() + grain % gtes_per_gt * 4); };
    auto is_zero = [&](uint32_t entry) { return zero_grains && entry == gte_zero; };

    uint64_t end = offset + length;
    while (offset < end && !out.full()) {
        uint64_t grain = offset / grain_bytes_, before = out.length();
        uint32_t entry = entry_of(grain);
        if (entry == gte_absent || is_zero(entry)) {
            uint64_t next = grain + 1;
            while (next * grain_bytes_ < end && entry_of(next) == entry) ++next;
            uint64_t run = std::min(end, next * grain_bytes_) - offset;
            if (entry == gte_absent)
                TRY(map_parent(beneath, beneath_offset + offset, run, out));
            else
                out.zeros(run);
        } else {
            uint64_t skip = offset % grain_bytes_;
            TRY(map_grain(grain, skip, std::min(grain_bytes_ - skip, end - offset), entry, out));
        }
        offset += out.length() - before;
    }
    return {};
}

Result<void> SparseExtent::map_grain(uint64_t grain, uint64_t skip, uint64_t length, uint32_t sector,
                                     PieceList& out) const {
    uint64_t at = uint64_t{sector} * sector_bytes, size = file_->size_bytes();
    // The last grain of a disk need not be stored whole.
    uint64_t stored = compressed() ? sizeof(GrainMarker) : std::min(grain_bytes_, size_bytes() - grain * grain_bytes_);
    uint64_t gd_at = header_.gd_offset * sector_bytes;
    const char* wrong = nullptr;
    if (at < metadata_end_)
        wrong = "within header or descriptor";
    else if (at < gd_at + gd_bytes() && gd_at < at + stored)
        wrong = "over the grain directory";
    else if (!range_within(at, stored, size))
        wrong = "past the end of the file";
    if (wrong != nullptr)
        return fail(EIO, "{}: grain {}: its place at sector {} lies {}", file_->path(), grain, sector, wrong);
    if (compressed()) return map_compressed(grain, skip, length, at, out);
    out.file(file_, at + skip, length);
    return {};
}

Result<void> SparseExtent::map_compressed(uint64_t grain, uint64_t skip, uint64_t length, uint64_t at,
                                          PieceList& out) const {
    GrainMarker marker;
    TRY(file_->read(at, bytes_of(marker)));
    uint64_t lba = marker.lba, size = marker.size;
    if (lba != grain * header_.grain_size)
        return fail(EIO, "{}: grain {}: the marker at offset {} says lba {} instead of {}", file_->path(), grain, at, lba,
                    grain * header_.grain_size);
    if (size == 0 || size > 2 * grain_bytes_ || !range_within(at + sizeof marker, size, file_->size_bytes()))
        return fail(EIO, "{}: grain {}: the marker at offset {} says size {} (at most {}, within the file)",
                    file_->path(), grain, at, size, 2 * grain_bytes_);
    uint64_t left = size_bytes() - grain * grain_bytes_;
    if (left < grain_bytes_) {
        out.computed(std::make_shared<LastGrain>(engine_, file_, at + sizeof marker, size, grain_bytes_, left), skip,
                     length);
        return {};
    }
    out.compressed({file_, at + sizeof marker, static_cast<uint32_t>(size), static_cast<uint32_t>(grain_bytes_),
                    static_cast<uint32_t>(skip), Codec::zlib},
                   length);
    return {};
}

}  // namespace hyper::vmdk
