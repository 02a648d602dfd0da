// SPDX-License-Identifier: Apache-2.0
// streamOptimized in VMware's own layout, computed from a disk.
//
// Design note. Grains are stored deflate (RFC 1951, 3.2.4): two stored blocks, whose sizes are known in advance, so every
// grain takes 129 sectors and each offset of the file is arithmetic:
//
//   header, descriptor, pad to sector 128 |
//   for each grain table that has grains: its grains, 129 sectors each | GT marker, GT (5 sectors) |
//   GD marker, GD | footer marker, footer | end of stream
//
//   a grain: marker 12 | 78 01 | 00 ff ff 00 00, 65535 bytes | 01 01 00 fe ff, 1 byte | adler32 | pad to 66048
//
// The view holds where each grain table's group starts (4 bytes for 32 MiB of disk) beyond the allocation index.
// Whole grains are computed: the disk is read straight into the caller's buffer, where the checksum is taken from it.
// A part of a grain's data maps through to the disk.
#include <array>
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
constexpr uint64_t over_head = 128;
constexpr uint64_t stored_sectors = 129, stored_bytes = stored_sectors * sector_bytes;
constexpr uint64_t table_sectors = 1 + gt_sectors;  // a GT and its marker

// Offsets within a stored grain.
constexpr uint64_t block1_bytes = 65535;
constexpr uint64_t zlib_at = sizeof(GrainMarker), block1_at = zlib_at + 2, data1_at = block1_at + 5;
constexpr uint64_t block2_at = data1_at + block1_bytes, data2_at = block2_at + 5, adler_at = data2_at + 1;
constexpr uint64_t stream_end = adler_at + 4;
static_assert(stream_end - zlib_at == 65552 && stream_end <= stored_bytes);

constexpr std::array<std::byte, 7> zlib_and_block1 = {std::byte{0x78}, std::byte{0x01}, std::byte{0x00}, std::byte{0xff},
                                                      std::byte{0xff}, std::byte{0x00}, std::byte{0x00}};
constexpr std::array<std::byte, 5> block2_header = {std::byte{0x01}, std::byte{0x01}, std::byte{0x00}, std::byte{0xfe},
                                                    std::byte{0xff}};

Marker marker_of(MarkerType type, uint64_t sectors) {
    Marker marker{};
    marker.sectors = sectors;
    marker.type = type;
    return marker;
}

class StreamView : public Source, public Producer, public std::enable_shared_from_this<StreamView> {
  public:
    StreamView(const ViewInput& input, std::shared_ptr<const AllocationIndex> index);
    // EFBIG when offsets do not fit.
    Result<void> lay_out(const ViewInput& input);
    uint64_t size_bytes() const override { return size_sectors_ * sector_bytes; }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override;
    Result<void> produce(uint64_t offset, std::span<std::byte> out) const override;

  private:
    // What holds a byte of the file: a stored grain, or what lies between grains.
    struct Place {
        uint64_t start, end;  // in bytes
        uint64_t table;       // of a grain, or of the GT behind the last grain of a group
        uint64_t grain;
        bool is_grain;
    };
    Place place_of(uint64_t offset) const;
    uint64_t table_grain_count(uint64_t table) const;
    Result<void> map_grain(const Place& place, uint64_t offset, uint64_t length, PieceList& out) const;
    Result<void> produce_grain(const Place& place, uint64_t offset, std::span<std::byte> out) const;
    Result<void> read_grain(uint64_t grain, uint64_t skip, std::span<std::byte> out) const;
    void put_table(uint64_t table, Window& window) const;
    void put_ends(Window& window) const;

    std::shared_ptr<const Source> disk_;
    std::shared_ptr<const AllocationIndex> index_;
    Engine* engine_;
    // Sector at which the group of each grain table starts; an empty group takes none. The last is where the GD marker is.
    std::vector<uint32_t> group_at_;
    uint64_t tables_, gd_sectors_;
    uint64_t gd_at_ = 0, size_sectors_ = 0;  // in sectors
    SparseHeader header_{};
    std::string descriptor_;
};

StreamView::StreamView(const ViewInput& input, std::shared_ptr<const AllocationIndex> index)
    : disk_(input.disk), index_(std::move(index)), engine_(input.engine) {
    uint64_t capacity = disk_->size_bytes() / sector_bytes;
    tables_ = divide_up(index_->unit_count(), gtes_per_gt);
    gd_sectors_ = divide_up(tables_ * 4, sector_bytes);
    descriptor_ = write_descriptor(input, "streamOptimized",
                                   fmt::format("RDONLY {} SPARSE \"{}\"", capacity, quotable(input.file_name)));
    header_.magic = magic_sparse;
    header_.version = 3;
    header_.flags = flag_newline_test | flag_compressed | flag_markers;
    header_.capacity = capacity;
    header_.grain_size = grain_sectors;
    header_.descriptor_offset = 1;
    header_.descriptor_size = divide_up(descriptor_.size(), sector_bytes);  // 1, but for very long names
    header_.gtes_per_gt = gtes_per_gt;
    header_.gd_offset = gd_at_end;
    header_.over_head = over_head;
    std::memcpy(header_.newline_test, newline_test, sizeof newline_test);
    header_.compress_algorithm = compress_deflate;
}

Result<void> StreamView::lay_out(const ViewInput& input) {
    uint64_t allocated = index_->allocated_count();
    auto too_large = [&](uint64_t sectors) {
        return fail(EFBIG, "{}: the file would have {} bytes or more; VMDK counts sectors in 32 bits, so 2 TiB is its "
                    "limit (try vhdx or qcow2)", input.file_name, sectors * sector_bytes);
    };
    if (over_head + allocated * stored_sectors > file_sectors_max) return too_large(over_head + allocated * stored_sectors);
    group_at_.reserve(tables_ + 1);
    uint64_t at = over_head, units = index_->unit_count();
    for (uint64_t table = 0; table < tables_; ++table) {
        group_at_.push_back(static_cast<uint32_t>(at));
        uint64_t grain = table * gtes_per_gt, table_end = std::min(units, grain + gtes_per_gt), count = 0;
        while (grain < table_end) {
            uint64_t run = index_->run_length(grain, table_end - grain);
            if (index_->allocated(grain)) count += run;
            grain += run;
        }
        if (count == 0) continue;
        at += count * stored_sectors + table_sectors;
        if (at >= file_sectors_max) return too_large(at);
    }
    group_at_.push_back(static_cast<uint32_t>(at));
    gd_at_ = at + 1;
    size_sectors_ = gd_at_ + gd_sectors_ + 3;
    return size_sectors_ > file_sectors_max ? too_large(size_sectors_) : Result<void>();
}

uint64_t StreamView::table_grain_count(uint64_t table) const {
    uint64_t sectors = group_at_[table + 1] - group_at_[table];
    return sectors == 0 ? 0 : (sectors - table_sectors) / stored_sectors;
}

StreamView::Place StreamView::place_of(uint64_t offset) const {
    uint64_t sector = offset / sector_bytes;
    if (sector < over_head) return {0, over_head * sector_bytes, 0, 0, false};
    if (sector >= group_at_.back()) return {group_at_.back() * sector_bytes, size_bytes(), tables_, 0, false};
    // The last group that starts at or before the sector: of those that start together all but the last are empty.
    auto after = std::upper_bound(group_at_.begin(), group_at_.end(), sector);
    uint64_t table = static_cast<uint64_t>(after - group_at_.begin()) - 1;
    uint64_t nth = (sector - group_at_[table]) / stored_sectors, count = table_grain_count(table);
    uint64_t start = (group_at_[table] + std::min(nth, count) * stored_sectors) * sector_bytes;
    if (nth >= count) return {start, start + table_sectors * sector_bytes, table, 0, false};
    return {start, start + stored_bytes, table, index_->select(index_->rank(table * gtes_per_gt) + nth), true};
}

// Grains that are only partly asked for can stand at the two ends alone; all between is one computed run.
Result<void> StreamView::map(uint64_t offset, uint64_t length, PieceList& out) const {
    uint64_t end = offset + length;
    Place first = place_of(offset);
    if (first.is_grain && (offset > first.start || end < first.end)) {
        uint64_t take = std::min(end, first.end) - offset, before = out.length();
        TRY(map_grain(first, offset, take, out));
        if (out.length() - before < take) return {};
        offset += take;
    }
    if (offset == end || out.full()) return {};
    Place last = place_of(end - 1);
    uint64_t whole_end = last.is_grain && end < last.end ? last.start : end;
    out.computed(shared_from_this(), offset, whole_end - offset);
    if (whole_end == end || out.full()) return {};
    return map_grain(last, whole_end, end - whole_end, out);
}

// A part of a grain.
Result<void> StreamView::map_grain(const Place& place, uint64_t offset, uint64_t length, PieceList& out) const {
    uint64_t end = offset + length;
    while (offset < end && !out.full()) {
        uint64_t within = offset - place.start, before = out.length();
        bool first = within >= data1_at && within < block2_at, second = within == data2_at;
        if (first || second) {
            uint64_t skip = first ? within - data1_at : block1_bytes;
            uint64_t take = std::min(end - offset, first ? block2_at - within : 1);
            TRY(map_zero_extended(*disk_, place.grain * grain_bytes + skip, take, out));
        } else {
            uint64_t stop = within < data1_at ? data1_at : within < data2_at ? data2_at : stored_bytes;
            out.computed(shared_from_this(), offset, std::min(end - offset, stop - within));
        }
        offset += out.length() - before;
    }
    return {};
}

Result<void> StreamView::produce(uint64_t offset, std::span<std::byte> out) const {
    while (!out.empty()) {
        Place place = place_of(offset);
        std::span<std::byte> part = out.first(std::min<uint64_t>(out.size(), place.end - offset));
        if (place.is_grain) {
            TRY(produce_grain(place, offset, part));
        } else {
            Window window(offset, part);
            if (place.start == 0) {
                window.put(0, bytes_of(header_));
                window.put(sector_bytes, bytes_of_text(descriptor_));
            } else if (place.table == tables_) {
                put_ends(window);
            } else {
                put_table(place.table, window);
            }
        }
        offset += part.size();
        out = out.subspan(part.size());
    }
    return {};
}

Result<void> StreamView::produce_grain(const Place& place, uint64_t offset, std::span<std::byte> out) const {
    GrainMarker marker;
    marker.lba = place.grain * grain_sectors;
    marker.size = static_cast<uint32_t>(stream_end - zlib_at);
    Window window(offset, out);
    window.put(place.start, bytes_of(marker));
    window.put(place.start + zlib_at, zlib_and_block1);
    window.put(place.start + block2_at, block2_header);
    if (!window.overlaps(place.start + adler_at, 4)) return {};
    be32 adler;
    if (out.size() == stored_bytes) {
        TRY(read_grain(place.grain, 0, out.subspan(data1_at, block1_bytes)));
        TRY(read_grain(place.grain, block1_bytes, out.subspan(data2_at, 1)));
        adler = adler32(adler32(1, out.subspan(data1_at, block1_bytes)), out.subspan(data2_at, 1));
    } else {
        std::vector<std::byte> data(grain_bytes);
        TRY(read_grain(place.grain, 0, data));
        adler = adler32(1, data);
    }
    window.put(place.start + adler_at, bytes_of(adler));
    return {};
}

// Beyond the end of the disk a grain is zeros, as `out` is already.
Result<void> StreamView::read_grain(uint64_t grain, uint64_t skip, std::span<std::byte> out) const {
    uint64_t at = grain * grain_bytes + skip, size = disk_->size_bytes();
    if (at >= size) return {};
    return engine_->read(*disk_, at, out.first(std::min<uint64_t>(out.size(), size - at)));
}

void StreamView::put_table(uint64_t table, Window& window) const {
    uint64_t grains_at = group_at_[table], marker_at = grains_at + table_grain_count(table) * stored_sectors;
    window.put(marker_at * sector_bytes, bytes_of(marker_of(marker_gt, gt_sectors)));
    uint64_t first = table * gtes_per_gt, count = std::min(gtes_per_gt, index_->unit_count() - first);
    uint64_t first_rank = index_->rank(first), rank = 0;
    bool counting = false;
    window.put_table((marker_at + 1) * sector_bytes, count, [&](uint64_t entry) {
        if (!counting) rank = index_->rank(first + entry) - first_rank;
        counting = true;
        return index_->allocated(first + entry) ? static_cast<uint32_t>(grains_at + rank++ * stored_sectors) : gte_absent;
    });
}

// From the GD marker to the end of the file; the end-of-stream marker is a sector of zeros.
void StreamView::put_ends(Window& window) const {
    window.put((gd_at_ - 1) * sector_bytes, bytes_of(marker_of(marker_gd, gd_sectors_)));
    window.put_table(gd_at_ * sector_bytes, tables_, [&](uint64_t table) {
        uint64_t count = table_grain_count(table);
        return count == 0 ? 0 : static_cast<uint32_t>(group_at_[table] + count * stored_sectors + 1);
    });
    uint64_t footer_at = gd_at_ + gd_sectors_;
    window.put(footer_at * sector_bytes, bytes_of(marker_of(marker_footer, 1)));
    SparseHeader footer = header_;
    footer.gd_offset = gd_at_;
    window.put((footer_at + 1) * sector_bytes, bytes_of(footer));
}

}  // namespace

Result<std::shared_ptr<const Source>> make_vmdk_stream_view(const ViewInput& input) {
    if (input.disk->size_bytes() == 0) return fail(EINVAL, "{}: the disk is empty: VMDK cannot hold it", input.file_name);
    auto view = std::make_shared<StreamView>(input, TRY(AllocationIndex::build(*input.disk, grain_bytes)));
    TRY(view->lay_out(input));
    return view;
}

}  // namespace hyper
