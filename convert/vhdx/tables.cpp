// SPDX-License-Identifier: Apache-2.0
#include "convert/vhdx/tables.h"

#include <algorithm>
#include <bit>
#include <cerrno>

#include "convert/identity.h"
#include "convert/vhdx/crc32c.h"

namespace hyper::vhdx {

std::string guid_text(const Guid& guid) { return uuid_text(swap_guid_order(guid.bytes)); }

Result<void> ReplayedFile::map(uint64_t offset, uint64_t length, PieceList& out) const {
    while (length > 0 && !out.full()) {
        LogOverlay::Change change = overlay_.find(offset);
        uint64_t take = length, stored = file_->size_bytes();
        if (change.length > 0 && change.offset <= offset) {
            uint64_t skip = offset - change.offset;
            take = std::min(length, change.length - skip);
            if (change.data_offset == LogOverlay::Change::zeros)
                out.zeros(take);
            else
                out.computed(shared_from_this(), change.data_offset + skip, take);
        } else {
            if (change.length > 0) take = std::min(length, change.offset - offset);
            // The log may want the file to be longer than it is.
            uint64_t inside = offset < stored ? std::min(take, stored - offset) : 0;
            out.file(file_, offset, inside);
            out.zeros(take - inside);
        }
        offset += take;
        length -= take;
    }
    return {};
}

Result<void> ReplayedFile::produce(uint64_t offset, std::span<std::byte> out) const {
    auto from = overlay_.data().subspan(offset, out.size());
    std::copy(from.begin(), from.end(), out.begin());
    return {};
}

namespace {

// One walk through the tables of one file. Bound to one thread.
class TableReader {
  public:
    TableReader(Engine& engine, std::shared_ptr<const File> file)
        : engine_(engine), file_(std::move(file)), name_(file_->path()) {}

    Result<Tables> run() {
        Header header = TRY(current_header());
        tables_.data_write_guid = header.data_write_guid;
        TRY(replay_log(header));
        TRY(read_regions());
        TRY(refuse_overlaps());
        TRY(read_metadata());
        TRY(check_sizes());
        return std::move(tables_);
    }

  private:
    Result<Header> current_header() const;
    Result<void> replay_log(const Header& header);
    Result<void> read_regions();
    Result<void> refuse_overlaps();
    Result<void> read_metadata();
    Result<void> take_item(const MetadataEntry& entry);
    Result<void> check_sizes() const;

    Engine& engine_;
    std::shared_ptr<const File> file_;
    const std::string& name_;
    Tables tables_;
    Region metadata_;
    unsigned items_seen_ = 0;  // a bit for each of the known ones
};

Result<Header> TableReader::current_header() const {
    if (file_->size_bytes() < header_section_bytes)
        return fail(EINVAL, "{}: the file has {} bytes, less than a VHDX header section (1 MiB)", name_,
                    file_->size_bytes());
    FileIdentifier identifier;
    TRY(file_->read(0, bytes_of(identifier)));
    if (std::string_view(identifier.signature, 8) != file_signature)
        return fail(EINVAL, "{}: file identifier: the signature is not \"vhdxfile\": not a VHDX file", name_);
    Header headers[2];
    bool good[2];
    for (int i = 0; i < 2; ++i) {
        TRY(file_->read(header_offsets[i], bytes_of(headers[i])));
        Header unsealed = headers[i];
        unsealed.checksum = 0;
        good[i] = headers[i].signature == header_signature && headers[i].checksum == crc32c(bytes_of(unsealed));
    }
    if (!good[0] && !good[1])
        return fail(EINVAL, "{}: headers: neither header 1 nor header 2 has a good signature and checksum", name_);
    uint64_t first = headers[0].sequence_number, second = headers[1].sequence_number;
    // disk2vhd writes the same header twice.
    if (good[0] && good[1] && first == second && std::memcmp(&headers[0], &headers[1], sizeof(Header)) != 0)
        return fail(EINVAL, "{}: headers: both have sequence number {} but they differ", name_, first);
    const Header& header = headers[good[0] && (!good[1] || first >= second) ? 0 : 1];
    if (header.version != 1 || header.log_version != 0)
        return fail(ENOTSUP, "{}: header: version {} and log version {} (1 and 0 are read)", name_,
                    uint16_t{header.version}, uint16_t{header.log_version});
    return header;
}

Result<void> TableReader::replay_log(const Header& header) {
    uint64_t offset = header.log_offset, length = header.log_length;
    LogOverlay overlay;
    if (offset % region_alignment != 0 || length % region_alignment != 0 || !range_within(offset, length, file_->size_bytes()))
        return fail(EINVAL, "{}: header: log offset {} and length {} are not whole MiB within the file of {} bytes",
                    name_, offset, length, file_->size_bytes());
    tables_.regions.push_back({0, header_section_bytes, "header section"});
    if (length > 0) tables_.regions.push_back({offset, length, "log"});
    TRY(refuse_overlaps());
    if (header.log_guid != Guid{}) {
        if (length == 0 || length > dirty_log_bytes_max)
            return fail(EINVAL, "{}: header: log length {} is to be replayed, which is not within 1..{} bytes", name_, length,
                        dirty_log_bytes_max);
        Bytes log(length);
        TRY(file_->read(offset, log));
        overlay = TRY(LogOverlay::replay({name_, header.log_guid, offset, file_->size_bytes()}, std::move(log)));
        tables_.replayed_entries = overlay.entry_count();
    }
    tables_.file = std::make_shared<ReplayedFile>(file_, std::move(overlay));
    return {};
}

Result<void> TableReader::read_regions() {
    Bytes table(region_table_bytes);
    bool good = false;
    for (uint64_t offset : region_table_offsets) {
        TRY(engine_.read(*tables_.file, offset, table));
        auto header = load<RegionTableHeader>(table.data());
        store_le<uint32_t>(table.data() + offsetof(RegionTableHeader, checksum), 0);
        good = header.signature == region_signature && header.checksum == crc32c(table);
        if (good) break;
    }
    if (!good)
        return fail(EINVAL, "{}: region tables: neither table 1 nor table 2 has a good signature and checksum", name_);
    uint32_t count = load<RegionTableHeader>(table.data()).entry_count;
    if (count > table_entries_max)
        return fail(EINVAL, "{}: region table: entry count {} is more than {}", name_, count, table_entries_max);
    bool has_bat = false, has_metadata = false;
    for (uint32_t i = 0; i < count; ++i) {
        auto entry = load<RegionEntry>(table.data() + sizeof(RegionTableHeader) + i * sizeof(RegionEntry));
        bool is_bat = entry.guid == bat_region, is_metadata = entry.guid == metadata_region;
        Region region{entry.file_offset, entry.length,
                      is_bat ? "BAT" : is_metadata ? "metadata" : guid_text(entry.guid)};
        if (!is_bat && !is_metadata && (entry.required & 1) != 0)
            return fail(ENOTSUP, "{}: region table: region {} is required and unknown", name_, region.name);
        if ((is_bat && has_bat) || (is_metadata && has_metadata))
            return fail(EINVAL, "{}: region table: there are two {} regions", name_, region.name);
        if (region.offset % region_alignment != 0 || region.length % region_alignment != 0 || region.length == 0 ||
            !range_within(region.offset, region.length, tables_.file->size_bytes()))
            return fail(EINVAL, "{}: region {}: offset {} and length {} are not whole MiB within the file of {} bytes",
                        name_, region.name, region.offset, region.length, tables_.file->size_bytes());
        if (is_bat) tables_.bat = region;
        if (is_metadata) metadata_ = region;
        has_bat |= is_bat;
        has_metadata |= is_metadata;
        tables_.regions.push_back(std::move(region));
    }
    if (!has_bat || !has_metadata)
        return fail(EINVAL, "{}: region table: the {} region is missing", name_, has_bat ? "metadata" : "BAT");
    return {};
}

Result<void> TableReader::refuse_overlaps() {
    auto& regions = tables_.regions;
    std::sort(regions.begin(), regions.end(), [](const Region& a, const Region& b) { return a.offset < b.offset; });
    for (size_t i = 1; i < regions.size(); ++i)
        if (regions[i - 1].offset + regions[i - 1].length > regions[i].offset)
            return fail(EINVAL, "{}: region {} at offset {} overlaps the {}", name_, regions[i].name, regions[i].offset,
                        regions[i - 1].name);
    return {};
}

Result<void> TableReader::read_metadata() {
    Bytes table(metadata_table_bytes);
    TRY(engine_.read(*tables_.file, metadata_.offset, table));
    auto header = load<MetadataTableHeader>(table.data());
    if (std::string_view(header.signature, 8) != metadata_signature)
        return fail(EINVAL, "{}: metadata table: the signature is not \"metadata\"", name_);
    uint32_t count = header.entry_count;
    if (count > table_entries_max)
        return fail(EINVAL, "{}: metadata table: entry count {} is more than {}", name_, count, table_entries_max);
    for (uint32_t i = 0; i < count; ++i)
        TRY(take_item(load<MetadataEntry>(table.data() + sizeof header + i * sizeof(MetadataEntry))));
    return {};
}

Result<void> TableReader::take_item(const MetadataEntry& entry) {
    struct Known {
        Guid guid;
        std::string_view name;
        uint32_t length;  // 0: any
    };
    static constexpr Known known[] = {
        {file_parameters_item, "file parameters", sizeof(FileParameters)},
        {virtual_size_item, "virtual disk size", 8},
        {logical_sector_item, "logical sector size", 4},
        {physical_sector_item, "physical sector size", 4},
        {page83_item, "virtual disk id", 16},
        {parent_locator_item, "parent locator", 0},
    };
    auto* item = std::find_if(std::begin(known), std::end(known), [&](const Known& k) { return k.guid == entry.item; });
    if (item == std::end(known) || (entry.flags & metadata_is_user) != 0) {
        if ((entry.flags & metadata_is_required) == 0) return {};
        return fail(ENOTSUP, "{}: metadata item {}: required and unknown", name_, guid_text(entry.item));
    }
    unsigned bit = 1u << (item - known);
    if ((items_seen_ & bit) != 0) return fail(EINVAL, "{}: metadata item {}: there are two", name_, item->name);
    items_seen_ |= bit;
    if (entry.length == 0 || entry.length > MiB || (item->length != 0 && entry.length != item->length))
        return fail(EINVAL, "{}: metadata item {}: length {} is wrong", name_, item->name, uint32_t{entry.length});
    if (entry.offset < metadata_table_bytes || !range_within(entry.offset, entry.length, metadata_.length))
        return fail(EINVAL, "{}: metadata item {}: offset {} and length {} lie outside the metadata region of {} bytes",
                    name_, item->name, uint32_t{entry.offset}, uint32_t{entry.length}, metadata_.length);
    Bytes bytes(entry.length);
    TRY(engine_.read(*tables_.file, metadata_.offset + entry.offset, bytes));
    if (item->guid == file_parameters_item) {
        auto parameters = load<FileParameters>(bytes.data());
        tables_.block_bytes = parameters.block_size;
        tables_.leave_blocks_allocated = (parameters.flags & leave_blocks_allocated) != 0;
        tables_.has_parent = (parameters.flags & has_parent) != 0;
    } else if (item->guid == virtual_size_item) {
        tables_.virtual_bytes = load_le<uint64_t>(bytes.data());
    } else if (item->guid == logical_sector_item) {
        tables_.logical_sector_bytes = load_le<uint32_t>(bytes.data());
    } else if (item->guid == physical_sector_item) {
        tables_.physical_sector_bytes = load_le<uint32_t>(bytes.data());
    } else if (item->guid == parent_locator_item) {
        tables_.parent_locator = std::move(bytes);
    }
    return {};
}

// An item that is missing left its value 0, which no check here lets pass but that of the size.
Result<void> TableReader::check_sizes() const {
    const Tables& t = tables_;
    if (!std::has_single_bit(t.block_bytes) || t.block_bytes < block_bytes_min || t.block_bytes > block_bytes_max)
        return fail(EINVAL, "{}: file parameters: block size {} is not a power of two within 1..256 MiB", name_,
                    t.block_bytes);
    if (t.logical_sector_bytes != 512 && t.logical_sector_bytes != 4096)
        return fail(EINVAL, "{}: logical sector size {} is neither 512 nor 4096", name_, t.logical_sector_bytes);
    if (t.physical_sector_bytes != 512 && t.physical_sector_bytes != 4096)
        return fail(EINVAL, "{}: physical sector size {} is neither 512 nor 4096", name_, t.physical_sector_bytes);
    constexpr unsigned virtual_size_bit = 2;
    if ((items_seen_ & virtual_size_bit) == 0)
        return fail(EINVAL, "{}: metadata: the item virtual disk size is missing", name_);
    if (t.virtual_bytes > disk_bytes_max)
        return fail(EINVAL, "{}: virtual disk size {} is more than 64 TiB", name_, t.virtual_bytes);
    if (t.virtual_bytes % t.logical_sector_bytes != 0)
        return fail(EINVAL, "{}: virtual disk size {} is not a whole number of {}-byte sectors", name_,
                    t.virtual_bytes, t.logical_sector_bytes);
    BatLayout layout(t.virtual_bytes, t.block_bytes, t.logical_sector_bytes, t.has_parent);
    if (layout.entry_count * 8 > t.bat.length)
        return fail(EINVAL, "{}: region BAT: length {} is too short for {} entries", name_, t.bat.length,
                    layout.entry_count);
    if (t.has_parent && t.parent_locator.empty())
        return fail(EINVAL, "{}: metadata: the disk has a parent, but the item parent locator is missing", name_);
    return {};
}

}  // namespace

Result<Tables> read_tables(Engine& engine, std::shared_ptr<const File> file) {
    return TableReader(engine, std::move(file)).run();
}

}  // namespace hyper::vhdx
