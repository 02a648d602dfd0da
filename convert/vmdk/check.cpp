// SPDX-License-Identifier: Apache-2.0
// The strict checker: header and descriptor here, the rest in check_*.cpp. It shares only layout.h with reader and views.
#include <bit>
#include <cerrno>
#include <cstring>
#include <string>

#include "convert/vmdk/check.h"
#include "convert/vmdk/vmdk.h"

namespace hyper {

using namespace vmdk;

namespace {

// False when nothing after the header can be judged.
bool check_header(const SparseHeader& h, uint64_t file_bytes, CheckReport& report) {
    uint64_t before = report.error_count();
    bool compressed = (h.flags & flag_compressed) != 0, markers = (h.flags & flag_markers) != 0;
    if (h.version < 1 || h.version > 3) report.error("version", "{} is not within 1..3", uint32_t{h.version});
    if ((h.flags & ~uint32_t{flag_newline_test | flag_redundant_gd | flag_zero_grains | flag_compressed | flag_markers}) != 0)
        report.error("flags", "{:#x} has bits that are not known", uint32_t{h.flags});
    if (compressed != markers) report.error("flags", "{:#x}: compression and markers go together", uint32_t{h.flags});
    if (std::memcmp(h.newline_test, newline_test, sizeof newline_test) != 0)
        report.error("newline test", "its four bytes have changed");
    if (h.capacity == 0 || h.capacity > disk_bytes_max / sector_bytes)
        report.error("capacity", "{} is not within 1 sector and 64 TiB", uint64_t{h.capacity});
    if (h.grain_size < grain_sectors_min || h.grain_size > grain_sectors_max || !std::has_single_bit(uint64_t{h.grain_size}))
        report.error("grainSize", "{} is not a power of two within {}..{}", uint64_t{h.grain_size}, grain_sectors_min,
                     grain_sectors_max);
    if (h.gtes_per_gt != gtes_per_gt) report.error("numGTEsPerGT", "{} is not {}", uint32_t{h.gtes_per_gt}, gtes_per_gt);
    if (h.compress_algorithm != (compressed ? compress_deflate : 0))
        report.error("compressAlgorithm", "{} does not go with flags {:#x}", uint16_t{h.compress_algorithm},
                     uint32_t{h.flags});
    if (h.over_head == 0 || h.over_head > file_bytes / sector_bytes)
        report.error("overHead", "{} sectors are not within the file", uint64_t{h.over_head});
    uint64_t sectors = file_bytes / sector_bytes;
    if (h.descriptor_offset != 0 &&
        (!range_within(h.descriptor_offset, h.descriptor_size, sectors) || h.descriptor_size == 0 ||
         h.descriptor_offset + h.descriptor_size > h.over_head || h.descriptor_size * sector_bytes > descriptor_bytes_max))
        report.error("descriptorOffset", "{} with descriptorSize {} is not within overHead", uint64_t{h.descriptor_offset},
                     uint64_t{h.descriptor_size});
    if (!all_zero(h.pad)) report.error("header", "the padding is not zero");
    if (h.unclean_shutdown != std::byte{0}) report.warning("uncleanShutdown", "is set");
    if (file_bytes % sector_bytes != 0) report.warning("file", "{} bytes are no whole number of sectors", file_bytes);
    return report.error_count() == before;
}

Result<void> check_sparse(const CheckedFile& file, CheckReport& report) {
    SparseHeader header;
    if (file.size_bytes() < sizeof header) {
        report.error("file", "{} bytes are too few for a header", file.size_bytes());
        return {};
    }
    TRY(file.read(0, bytes_of(header)));
    if (!check_header(header, file.size_bytes(), report)) return {};
    report.virtual_bytes = header.capacity * sector_bytes;
    if (header.descriptor_offset != 0) {
        std::string text(header.descriptor_size * sector_bytes, '\0');
        TRY(file.read(header.descriptor_offset * sector_bytes, std::as_writable_bytes(std::span(text))));
        uint64_t sectors = text[0] == '\0' ? uint64_t{header.capacity} : check_descriptor(text, &header, report);
        if (sectors != header.capacity)
            report.error("descriptor", "its extent has {} sectors, but capacity is {}", sectors, uint64_t{header.capacity});
    }
    uint64_t tables = divide_up(header.capacity, header.grain_size * gtes_per_gt);
    if (tables * 4 > gd_bytes_max) {
        report.error("capacity", "{} needs a grain directory of {} bytes", uint64_t{header.capacity}, tables * 4);
        return {};
    }
    return header.gd_offset == gd_at_end ? check_stream(file, header, report) : check_directories(file, header, report);
}

}  // namespace

Result<void> check_vmdk(const CheckedFile& file, CheckReport& report) {
    le32 magic;
    if (file.size_bytes() >= sizeof magic) TRY(file.read(0, bytes_of(magic)));
    if (magic == magic_sparse) return check_sparse(file, report);
    if (file.size_bytes() > descriptor_bytes_max) {
        report.error("magic", "{:#010x} is not that of a sparse extent, and the file is too large for a descriptor",
                     uint32_t{magic});
        return {};
    }
    std::string text(file.size_bytes(), '\0');
    TRY(file.read(0, std::as_writable_bytes(std::span(text))));
    report.virtual_bytes = check_descriptor(text, nullptr, report) * sector_bytes;
    return {};
}

}  // namespace hyper
