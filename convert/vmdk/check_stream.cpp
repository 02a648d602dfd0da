// SPDX-License-Identifier: Apache-2.0
// Each step of the walk goes at least one sector on. Memory: one grain table, and 4 bytes for each table.
#include <cstring>
#include <vector>

#include "convert/vmdk/check.h"

namespace hyper::vmdk {

namespace {

class StreamCheck {
  public:
    StreamCheck(const CheckedFile& file, const SparseHeader& header, CheckReport& report)
        : file_(file), header_(header), report_(report), sectors_(file.size_bytes() / sector_bytes),
          grains_(divide_up(header.capacity, header.grain_size)), at_(header.over_head),
          table_(gtes_per_gt), tables_at_(divide_up(grains_, gtes_per_gt)) {}

    Result<void> run() {
        if (header_.version != 3) report_.error("version", "{}: a stream is version 3", uint32_t{header_.version});
        if ((header_.flags & flag_compressed) == 0) {
            report_.error("gdOffset", "at the end, but the file is no stream");
            return {};
        }
        while (at_ < sectors_) {
            Marker marker;
            TRY(file_.read(at_ * sector_bytes, bytes_of(marker)));
            if (marker.size != 0) {
                if (!TRY(check_grain(marker))) return {};
                continue;
            }
            if (!all_zero(marker.pad)) error("the marker's padding is not zero");
            if (marker.type == marker_eos) return finish(marker);
            uint64_t expected = marker.type == marker_gt ? gt_sectors : marker.type == marker_gd ? gd_sectors() : 1;
            if (marker.type > marker_footer || marker.sectors != expected ||
                !range_within(at_ + 1, expected, sectors_)) {
                error("a marker of type {} with {} sectors", uint32_t{marker.type}, uint64_t{marker.sectors});
                return {};
            }
            ++at_;
            if (marker.type == marker_gt) TRY(check_table());
            if (marker.type == marker_gd) TRY(check_directory());
            if (marker.type == marker_footer) TRY(check_footer());
            at_ += expected;
        }
        error("the stream ends without an end-of-stream marker");
        return {};
    }

  private:
    uint64_t gd_sectors() const { return divide_up(tables_at_.size() * 4, sector_bytes); }

    template <class... Args>
    void error(fmt::format_string<Args...> format, Args&&... args) {
        report_.error(fmt::format("sector {}", at_), "{}", fmt::format(format, std::forward<Args>(args)...));
    }

    // False when the walk cannot go on.
    Result<bool> check_grain(const Marker& marker) {
        uint64_t lba = marker.sectors, size = marker.size, grain = lba / header_.grain_size;
        uint64_t count = divide_up(sizeof(GrainMarker) + size, sector_bytes);
        if (size > 2 * header_.grain_size * sector_bytes || !range_within(at_, count, sectors_)) {
            error("a grain of {} bytes", size);
            return false;
        }
        if (gd_at_ != 0) error("a grain behind the grain directory");
        if (lba % header_.grain_size != 0 || grain >= grains_) {
            error("lba {} is not that of a grain", lba);
        } else if (grain < next_grain_) {
            error("lba {} does not rise", lba);
        } else {
            if (pending_ != 0 && grain / gtes_per_gt != table_index_) error("grains of table {} without a table", table_index_);
            if (pending_ == 0 || grain / gtes_per_gt != table_index_) start_table(grain / gtes_per_gt);
            table_[grain % gtes_per_gt] = static_cast<uint32_t>(at_);
            ++pending_;
            next_grain_ = grain + 1;
        }
        unsigned cmf = static_cast<unsigned>(marker_byte(marker, 12)), flg = static_cast<unsigned>(marker_byte(marker, 13));
        if ((cmf & 15) != 8 || (cmf * 256 + flg) % 31 != 0) error("lba {}: no zlib stream (RFC 1950)", lba);
        TRY(check_padding(at_ * sector_bytes + sizeof(GrainMarker) + size, (at_ + count) * sector_bytes));
        report_.allocated_bytes += header_.grain_size * sector_bytes;
        at_ += count;
        return true;
    }

    static std::byte marker_byte(const Marker& marker, size_t at) { return bytes_of(marker)[at]; }

    Result<void> check_padding(uint64_t from, uint64_t to) {
        std::vector<std::byte> padding(to - from);
        if (!padding.empty()) TRY(file_.read(from, padding));
        if (!all_zero(padding)) error("the padding behind the grain is not zero");
        return {};
    }

    void start_table(uint64_t index) {
        std::fill(table_.begin(), table_.end(), gte_absent);
        table_index_ = index;
        pending_ = 0;
    }

    Result<void> check_table() {
        std::vector<uint32_t> entries(gtes_per_gt);
        TRY(file_.read(at_ * sector_bytes, std::as_writable_bytes(std::span(entries))));
        if (pending_ == 0)
            error("a grain table without grains before it");
        else if (tables_at_[table_index_] != 0)
            error("a second grain table {}", table_index_);
        else
            tables_at_[table_index_] = static_cast<uint32_t>(at_);
        for (uint64_t i = 0; pending_ != 0 && i < gtes_per_gt; ++i)
            if (entries[i] != table_[i])
                error("grain table {}, entry {}: sector {}, but the grain is at {}", table_index_, i, entries[i], table_[i]);
        pending_ = 0;
        return {};
    }

    Result<void> check_directory() {
        if (pending_ != 0) error("grains of table {} without a table", table_index_);
        if (gd_at_ != 0) error("a second grain directory");
        gd_at_ = at_;
        std::vector<uint32_t> entries(tables_at_.size());
        TRY(file_.read(at_ * sector_bytes, std::as_writable_bytes(std::span(entries))));
        for (uint64_t i = 0; i < entries.size(); ++i)
            if (entries[i] != tables_at_[i])
                error("grain directory entry {}: sector {}, but the table is at {}", i, entries[i], tables_at_[i]);
        return {};
    }

    Result<void> check_footer() {
        SparseHeader footer;
        TRY(file_.read(at_ * sector_bytes, bytes_of(footer)));
        if (footer.gd_offset != gd_at_ || gd_at_ == 0)
            error("gdOffset of the footer is {}, but the directory is at {}", uint64_t{footer.gd_offset}, gd_at_);
        footer.gd_offset = gd_at_end;
        if (std::memcmp(&footer, &header_, sizeof footer) != 0) error("the footer differs from the header");
        footer_end_ = at_ + 1;
        return {};
    }

    Result<void> finish(const Marker& marker) {
        if (marker.sectors != 0) error("an end-of-stream marker with {} sectors", uint64_t{marker.sectors});
        if (footer_end_ != at_) error("no footer before the end-of-stream marker");
        if ((at_ + 1) * sector_bytes != file_.size_bytes())
            error("{} bytes behind the end-of-stream marker", file_.size_bytes() - (at_ + 1) * sector_bytes);
        return {};
    }

    const CheckedFile& file_;
    const SparseHeader& header_;
    CheckReport& report_;
    uint64_t sectors_, grains_, at_;  // at_: the sector that the walk is at
    std::vector<uint32_t> table_;     // what the next grain table has to be
    std::vector<uint32_t> tables_at_;  // what the grain directory has to be
    uint64_t table_index_ = 0, pending_ = 0, next_grain_ = 0, gd_at_ = 0, footer_end_ = 0;
};

}  // namespace

Result<void> check_stream(const CheckedFile& file, const SparseHeader& header, CheckReport& report) {
    return StreamCheck(file, header, report).run();
}

}  // namespace hyper::vmdk
