// SPDX-License-Identifier: Apache-2.0
// Memory: the directories, and one bit for each place that a grain can have in the file.
#include <algorithm>
#include <vector>

#include "convert/vmdk/check.h"

namespace hyper::vmdk {

namespace {

class DirectoryCheck {
  public:
    DirectoryCheck(const CheckedFile& file, const SparseHeader& header, CheckReport& report)
        : file_(file), header_(header), report_(report), file_sectors_(file.size_bytes() / sector_bytes),
          grains_(divide_up(header.capacity, header.grain_size)), tables_(divide_up(grains_, gtes_per_gt)) {}

    Result<void> run() {
        bool redundant = (header_.flags & flag_redundant_gd) != 0;
        TRY(read_directory("gdOffset", header_.gd_offset, gd_));
        if (redundant) TRY(read_directory("rgdOffset", header_.rgd_offset, rgd_));
        if (gd_.empty() || (redundant && rgd_.empty())) return {};
        check_places();
        if (!compressed()) taken_.resize(divide_up(file_sectors_, header_.grain_size));
        for (uint64_t table = 0; table < tables_; ++table) TRY(check_table(table));
        return {};
    }

  private:
    bool compressed() const { return (header_.flags & flag_compressed) != 0; }

    Result<void> read_directory(const char* field, uint64_t offset, std::vector<uint32_t>& directory) {
        uint64_t sectors = divide_up(tables_ * 4, sector_bytes);
        if (offset < 1 || !range_within(offset, sectors, header_.over_head)) {
            report_.error(field, "{}: the directory's {} sectors are not within overHead {}", offset, sectors,
                          uint64_t{header_.over_head});
            return {};
        }
        if (offset < header_.descriptor_offset + header_.descriptor_size && header_.descriptor_offset < offset + sectors)
            report_.error(field, "{}: over the descriptor", offset);
        directory.resize(tables_);
        places_.push_back({offset, sectors});
        return file_.read(offset * sector_bytes, std::as_writable_bytes(std::span(directory)));
    }

    // Tables lie apart from each other and from the directories.
    void check_places() {
        for (const auto* directory : {&gd_, &rgd_})
            for (uint64_t table = 0; table < directory->size(); ++table)
                if (uint64_t at = (*directory)[table]; at != 0) places_.push_back({at, gt_sectors});
        std::sort(places_.begin(), places_.end());
        for (size_t i = 1; i < places_.size(); ++i)
            if (places_[i].first < places_[i - 1].first + places_[i - 1].second)
                report_.error("grain directory", "the table at sector {} overlaps another at {}", places_[i].first,
                              places_[i - 1].first);
    }

    Result<void> check_table(uint64_t table) {
        bool absent = gd_[table] == 0;
        if (!rgd_.empty() && absent != (rgd_[table] == 0))
            report_.error(fmt::format("grain directory entry {}", table), "the two directories differ");
        std::vector<uint32_t> entries(gtes_per_gt), copy(gtes_per_gt);
        if (absent || !TRY(read_table(table, gd_, entries))) return {};
        if (!rgd_.empty() && TRY(read_table(table, rgd_, copy)) && entries != copy)
            report_.error(fmt::format("grain table {}", table), "the two copies differ");
        for (uint64_t entry = 0; entry < gtes_per_gt; ++entry) TRY(check_entry(table, entry, entries[entry]));
        return {};
    }

    Result<bool> read_table(uint64_t table, const std::vector<uint32_t>& directory, std::vector<uint32_t>& entries) {
        uint64_t at = directory[table];
        if (at < 1 || at < header_.descriptor_offset + header_.descriptor_size || !range_within(at, gt_sectors, file_sectors_)) {
            report_.error(fmt::format("grain directory entry {}", table), "sector {} is not a place for a table", at);
            return false;
        }
        TRY(file_.read(at * sector_bytes, std::as_writable_bytes(std::span(entries))));
        return true;
    }

    Result<void> check_entry(uint64_t table, uint64_t entry, uint64_t sector) {
        if (sector == gte_absent || (sector == gte_zero && (header_.flags & flag_zero_grains) != 0)) return {};
        uint64_t grain = table * gtes_per_gt + entry;
        std::string field = fmt::format("grain table {}, entry {}", table, entry);
        if (grain >= grains_) {
            report_.error(field, "sector {} for a grain beyond the capacity", sector);
        } else if (sector < header_.over_head) {
            report_.error(field, "sector {} is within the metadata (overHead {})", sector, uint64_t{header_.over_head});
        } else if (!range_within(sector, compressed() ? 1 : uint64_t{header_.grain_size}, file_sectors_)) {
            report_.error(field, "sector {}: the grain reaches past the end of the file", sector);
        } else if (over_table(sector)) {
            report_.error(field, "sector {}: the grain lies over a table", sector);
        } else if (compressed()) {
            return check_compressed(field, grain, sector);
        } else if (sector % header_.grain_size != 0) {
            report_.error(field, "sector {} is not aligned to a grain", sector);
        } else if (taken_[sector / header_.grain_size]) {
            report_.error(field, "sector {} belongs to another grain already", sector);
        } else {
            taken_[sector / header_.grain_size] = true;
            report_.allocated_bytes += header_.grain_size * sector_bytes;
        }
        return {};
    }

    bool over_table(uint64_t sector) const {
        auto after = std::lower_bound(places_.begin(), places_.end(),
                                      std::pair<uint64_t, uint64_t>{sector + header_.grain_size, 0});
        if (compressed()) after = std::upper_bound(places_.begin(), places_.end(), std::pair{sector, UINT64_MAX});
        return after != places_.begin() && std::prev(after)->first + std::prev(after)->second > sector;
    }

    // qemu-img writes compressed grains in guest order one behind the other, as the specification wants streams.
    Result<void> check_compressed(const std::string& field, uint64_t grain, uint64_t sector) {
        GrainMarker marker;
        TRY(file_.read(sector * sector_bytes, bytes_of(marker)));
        uint64_t grain_bytes = header_.grain_size * sector_bytes, size = marker.size;
        if (marker.lba != grain * header_.grain_size)
            report_.error(field, "its marker says lba {} instead of {}", uint64_t{marker.lba}, grain * header_.grain_size);
        if (size == 0 || size > 2 * grain_bytes ||
            !range_within(sector * sector_bytes + sizeof marker, size, file_.size_bytes()))
            report_.error(field, "its marker says size {}", size);
        else if (sector < stream_end_)
            report_.error(field, "sector {} is not behind the grain before it, which ends at {}", sector, stream_end_);
        stream_end_ = std::max(stream_end_, sector + divide_up(sizeof marker + std::min(size, 2 * grain_bytes), sector_bytes));
        report_.allocated_bytes += grain_bytes;
        return {};
    }

    const CheckedFile& file_;
    const SparseHeader& header_;
    CheckReport& report_;
    uint64_t file_sectors_, grains_, tables_;
    std::vector<uint32_t> gd_, rgd_;
    std::vector<std::pair<uint64_t, uint64_t>> places_;  // sector and count of each table, sorted
    std::vector<bool> taken_;
    uint64_t stream_end_ = 0;
};

}  // namespace

Result<void> check_directories(const CheckedFile& file, const SparseHeader& header, CheckReport& report) {
    return DirectoryCheck(file, header, report).run();
}

}  // namespace hyper::vmdk
