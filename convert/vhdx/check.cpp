// SPDX-License-Identifier: Apache-2.0
// The strict checker. Unlike the reader, which takes the better one of what VHDX keeps twice, it wants both good and equal;
// it reads every BAT entry and remembers each MiB of the file that is taken, so no two blocks can share one.
// The tables of a file with a dirty log are those after its replay, so the log's overlay is used here as in the reader.
#include <algorithm>
#include <bit>
#include <cerrno>
#include <optional>
#include <vector>

#include "convert/vhdx/crc32c.h"
#include "convert/vhdx/log.h"
#include "convert/vhdx/structs.h"
#include "convert/vhdx/vhdx.h"

namespace hyper {

namespace vhdx {

namespace {

// More than a full 64 TiB disk takes with all its tables; bounds the map of what is taken to 16 MiB.
constexpr uint64_t file_bytes_max = 128 * TiB;
constexpr uint32_t user_items_max = 1024;

struct Part {
    uint64_t offset, length;
    std::string name;
};

// Bound to one thread.
class Checker {
  public:
    Checker(const CheckedFile& file, CheckReport& report) : file_(file), report_(report) {}
    Result<void> run();

  private:
    Result<void> read(uint64_t offset, std::span<std::byte> bytes) const;
    Result<bool> check_identifier();
    Result<bool> check_headers();
    Result<bool> check_header(int which, Header& header);
    Result<bool> check_log(const Header& header);
    Result<bool> check_region_tables();
    bool check_region_table(int which, const Bytes& table);
    void check_regions(const Bytes& table);
    Result<bool> check_metadata();
    Result<void> check_item(uint32_t number, const MetadataEntry& entry, std::vector<Part>& items);
    bool check_disk();
    Result<void> check_bat();
    void check_payload(uint64_t index, uint64_t block, uint64_t entry);
    void check_bitmap(uint64_t index, uint64_t chunk, uint64_t entry);
    // `length` bytes of the block must be in the file; `whole` are taken.
    void take(const std::string& field, uint64_t entry, uint64_t length, uint64_t whole);
    void find_overlaps(std::vector<Part>& parts, std::string_view kind);

    const CheckedFile& file_;
    CheckReport& report_;
    LogOverlay overlay_;
    uint64_t file_bytes_ = 0;
    std::vector<Part> regions_;
    std::optional<Part> bat_, metadata_;
    std::optional<FileParameters> parameters_;
    std::optional<uint64_t> virtual_bytes_;
    std::optional<uint32_t> logical_sector_bytes_, physical_sector_bytes_;
    bool has_page83_ = false, has_locator_ = false;
    std::optional<BatLayout> layout_;
    std::vector<bool> taken_;           // a bit for each MiB of the file
    bool chunk_partial_ = false;  // a block of the present chunk is partially present
};

Result<void> Checker::run() {
    file_bytes_ = file_.size_bytes();
    if (file_bytes_ < header_section_bytes) {
        report_.error("file", "{} bytes are less than a VHDX header section (1 MiB)", file_bytes_);
        return {};
    }
    if (file_bytes_ > file_bytes_max) {
        report_.error("file", "{} bytes are more than any VHDX file has", file_bytes_);
        return {};
    }
    if (!TRY(check_identifier()) || !TRY(check_headers()) || !TRY(check_region_tables())) return {};
    if (!TRY(check_metadata()) || !check_disk()) return {};
    return check_bat();
}

// As the file reads once its log is replayed.
Result<void> Checker::read(uint64_t offset, std::span<std::byte> bytes) const {
    uint64_t stored = file_.size_bytes();
    size_t inside = offset < stored ? std::min<uint64_t>(bytes.size(), stored - offset) : 0;
    std::fill(bytes.begin() + static_cast<ptrdiff_t>(inside), bytes.end(), std::byte{0});
    if (inside > 0) TRY(file_.read(offset, bytes.first(inside)));
    overlay_.apply(offset, bytes);
    return {};
}

Result<bool> Checker::check_identifier() {
    FileIdentifier identifier;
    TRY(read(0, bytes_of(identifier)));
    bool good = std::string_view(identifier.signature, 8) == file_signature;
    if (!good) report_.error("file identifier", "the signature is not \"vhdxfile\"");
    return good;
}

Result<bool> Checker::check_header(int which, Header& header) {
    std::string field = fmt::format("header {}", which + 1);
    TRY(read(header_offsets[which], bytes_of(header)));
    Header unsealed = header;
    unsealed.checksum = 0;
    uint32_t crc = crc32c(bytes_of(unsealed));
    if (header.signature != header_signature) {
        report_.error(field, "the signature is {:#x}, not \"head\"", uint32_t{header.signature});
        return false;
    }
    if (header.checksum != crc) {
        report_.error(field, "the checksum is {:#x}, its bytes make {:#x}", uint32_t{header.checksum}, crc);
        return false;
    }
    if (header.version != 1) report_.error(field, "version {} is not 1", uint16_t{header.version});
    if (header.log_version != 0) report_.error(field, "log version {} is not 0", uint16_t{header.log_version});
    if (!all_zero(header.reserved)) report_.error(field, "reserved bytes are not zero");
    return true;
}

Result<bool> Checker::check_headers() {
    Header headers[2];
    bool good[2] = {TRY(check_header(0, headers[0])), TRY(check_header(1, headers[1]))};
    if (!good[0] && !good[1]) return false;
    uint64_t first = headers[0].sequence_number, second = headers[1].sequence_number;
    if (good[0] && good[1] && first == second) {
        if (std::memcmp(&headers[0], &headers[1], sizeof(Header)) == 0)
            report_.warning("headers", "both have sequence number {}", first);
        else
            report_.error("headers", "both have sequence number {} but they differ", first);
    }
    return check_log(headers[good[0] && (!good[1] || first >= second) ? 0 : 1]);
}

Result<bool> Checker::check_log(const Header& header) {
    uint64_t offset = header.log_offset, length = header.log_length;
    regions_.push_back({0, header_section_bytes, "header section"});
    if (offset % region_alignment != 0 || length % region_alignment != 0 || length == 0 ||
        !range_within(offset, length, file_bytes_)) {
        report_.error("log", "offset {} and length {} are not whole MiB within the file of {} bytes", offset, length,
                      file_bytes_);
        return header.log_guid == Guid{};
    }
    regions_.push_back({offset, length, "log"});
    if (header.log_guid == Guid{}) return true;
    if (length > dirty_log_bytes_max) {
        report_.error("log", "{} bytes to be replayed are more than {}", length, dirty_log_bytes_max);
        return false;
    }
    Bytes log(length);
    TRY(file_.read(offset, log));
    auto replayed = LogOverlay::replay({"log", header.log_guid, offset, file_bytes_}, std::move(log));
    if (!replayed) {
        report_.error("log", "{}", replayed.error().message);
        return false;
    }
    overlay_ = std::move(*replayed);
    file_bytes_ = std::max(file_bytes_, overlay_.file_bytes());
    report_.warning("log", "{} entries are still to be replayed; the tables are checked as they will be then",
                    overlay_.entry_count());
    if (file_bytes_ > file_bytes_max) {
        report_.error("log", "LastFileOffset {} is more than any VHDX file has", file_bytes_);
        return false;
    }
    return true;
}

bool Checker::check_region_table(int which, const Bytes& table) {
    std::string field = fmt::format("region table {}", which + 1);
    auto header = load<RegionTableHeader>(table.data());
    Bytes unsealed = table;
    store_le<uint32_t>(unsealed.data() + offsetof(RegionTableHeader, checksum), 0);
    uint32_t crc = crc32c(unsealed);
    if (header.signature != region_signature)
        report_.error(field, "the signature is {:#x}, not \"regi\"", uint32_t{header.signature});
    else if (header.checksum != crc)
        report_.error(field, "the checksum is {:#x}, its bytes make {:#x}", uint32_t{header.checksum}, crc);
    else if (header.entry_count > table_entries_max)
        report_.error(field, "entry count {} is more than {}", uint32_t{header.entry_count}, table_entries_max);
    else {
        if (header.reserved != 0) report_.error(field, "the reserved field is not zero");
        return true;
    }
    return false;
}

Result<bool> Checker::check_region_tables() {
    Bytes tables[2] = {Bytes(region_table_bytes), Bytes(region_table_bytes)};
    bool good[2];
    for (int i = 0; i < 2; ++i) {
        TRY(read(region_table_offsets[i], tables[i]));
        good[i] = check_region_table(i, tables[i]);
    }
    if (good[0] && good[1] && tables[0] != tables[1]) report_.error("region tables", "the two tables differ");
    if (!good[0] && !good[1]) return false;
    check_regions(tables[good[0] ? 0 : 1]);
    return bat_ && metadata_;
}

void Checker::check_regions(const Bytes& table) {
    uint32_t count = load<RegionTableHeader>(table.data()).entry_count;
    std::vector<Guid> seen;
    for (uint32_t i = 0; i < count; ++i) {
        auto entry = load<RegionEntry>(table.data() + sizeof(RegionTableHeader) + i * sizeof(RegionEntry));
        bool is_bat = entry.guid == bat_region, is_metadata = entry.guid == metadata_region;
        Part region{entry.file_offset, entry.length, is_bat ? "BAT" : is_metadata ? "metadata" : guid_text(entry.guid)};
        std::string field = "region " + region.name;
        if (std::find(seen.begin(), seen.end(), entry.guid) != seen.end()) report_.error(field, "there are two");
        seen.push_back(entry.guid);
        if (entry.required > 1) report_.error(field, "reserved bits are set beside the required bit");
        if (!is_bat && !is_metadata && (entry.required & 1) != 0) report_.error(field, "required and unknown");
        // qemu-img leaves the bit out.
        if ((is_bat || is_metadata) && (entry.required & 1) == 0) report_.warning(field, "not marked required");
        if (region.offset % region_alignment != 0 || region.length % region_alignment != 0 || region.length == 0 ||
            !range_within(region.offset, region.length, file_bytes_)) {
            report_.error(field, "offset {} and length {} are not whole MiB within the file of {} bytes", region.offset,
                          region.length, file_bytes_);
            continue;
        }
        if (is_bat) bat_ = region;
        if (is_metadata) metadata_ = region;
        regions_.push_back(std::move(region));
    }
    if (!bat_) report_.error("region BAT", "missing, or not within the file");
    if (!metadata_) report_.error("region metadata", "missing, or not within the file");
    find_overlaps(regions_, "region");
}

void Checker::find_overlaps(std::vector<Part>& parts, std::string_view kind) {
    std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.offset < b.offset; });
    uint64_t end = 0;
    const std::string* last = nullptr;
    for (const Part& part : parts) {
        if (part.offset < end)
            report_.error(fmt::format("{} {}", kind, part.name), "offset {} overlaps the {} {}", part.offset, kind, *last);
        if (part.offset + part.length > end) {
            end = part.offset + part.length;
            last = &part.name;
        }
    }
}

Result<bool> Checker::check_metadata() {
    Bytes table(metadata_table_bytes);
    TRY(read(metadata_->offset, table));
    auto header = load<MetadataTableHeader>(table.data());
    if (std::string_view(header.signature, 8) != metadata_signature) {
        report_.error("metadata table", "the signature is not \"metadata\"");
        return false;
    }
    uint32_t count = header.entry_count, users = 0;
    if (count > table_entries_max) {
        report_.error("metadata table", "entry count {} is more than {}", count, table_entries_max);
        return false;
    }
    if (header.reserved != 0 || !all_zero(header.reserved2)) report_.error("metadata table", "reserved bytes are not zero");
    std::vector<Part> items;
    std::vector<std::pair<Guid, bool>> seen;
    for (uint32_t i = 0; i < count; ++i) {
        auto entry = load<MetadataEntry>(table.data() + sizeof header + i * sizeof(MetadataEntry));
        bool user = (entry.flags & metadata_is_user) != 0;
        users += user;
        if (std::find(seen.begin(), seen.end(), std::pair{entry.item, user}) != seen.end())
            report_.error(fmt::format("metadata entry {}", i), "item {} is there twice", guid_text(entry.item));
        seen.emplace_back(entry.item, user);
        TRY(check_item(i, entry, items));
    }
    if (users > user_items_max) report_.error("metadata table", "{} user items are more than {}", users, user_items_max);
    find_overlaps(items, "metadata item");
    return true;
}

Result<void> Checker::check_item(uint32_t number, const MetadataEntry& entry, std::vector<Part>& items) {
    struct Known {
        Guid guid;
        std::string_view name;
        uint32_t length, flags;
    };
    static constexpr Known known[] = {
        {file_parameters_item, "file parameters", 8, metadata_is_required},
        {virtual_size_item, "virtual disk size", 8, metadata_is_required | metadata_is_virtual_disk},
        {page83_item, "virtual disk id", 16, metadata_is_required | metadata_is_virtual_disk},
        {logical_sector_item, "logical sector size", 4, metadata_is_required | metadata_is_virtual_disk},
        {physical_sector_item, "physical sector size", 4, metadata_is_required | metadata_is_virtual_disk},
        {parent_locator_item, "parent locator", 0, metadata_is_required},
    };
    std::string field = fmt::format("metadata entry {}", number);
    auto* item = std::find_if(std::begin(known), std::end(known), [&](const Known& k) { return k.guid == entry.item; });
    if ((entry.flags & metadata_is_user) != 0) item = std::end(known);
    std::string name = item != std::end(known) ? std::string(item->name) : guid_text(entry.item);
    if (entry.reserved != 0 || entry.flags > 7) report_.error(field, "{}: reserved bits are set", name);
    if (item == std::end(known) && (entry.flags & metadata_is_required) != 0)
        report_.error(field, "item {} is required and unknown", name);
    if (entry.length == 0 && entry.offset == 0 && item == std::end(known)) return {};
    if (entry.length == 0 || entry.length > MiB || entry.offset < metadata_table_bytes ||
        !range_within(entry.offset, entry.length, metadata_->length)) {
        report_.error(field, "{}: offset {} and length {} lie outside the metadata region of {} bytes", name,
                      uint32_t{entry.offset}, uint32_t{entry.length}, metadata_->length);
        return {};
    }
    items.push_back({entry.offset, entry.length, name});
    if (item == std::end(known)) return {};
    if ((entry.flags & 7) != item->flags)
        report_.error(field, "{}: flags {} are not {}", name, uint32_t{entry.flags}, item->flags);
    if (item->length != 0 && entry.length != item->length) {
        report_.error(field, "{}: length {} is not {}", name, uint32_t{entry.length}, item->length);
        return {};
    }
    std::byte value[16] = {};
    TRY(read(metadata_->offset + entry.offset, std::span(value).first(std::min<size_t>(entry.length, sizeof value))));
    if (item->guid == file_parameters_item) parameters_ = load<FileParameters>(value);
    if (item->guid == virtual_size_item) virtual_bytes_ = load_le<uint64_t>(value);
    if (item->guid == logical_sector_item) logical_sector_bytes_ = load_le<uint32_t>(value);
    if (item->guid == physical_sector_item) physical_sector_bytes_ = load_le<uint32_t>(value);
    has_page83_ |= item->guid == page83_item;
    has_locator_ |= item->guid == parent_locator_item;
    return {};
}

// False where the BAT cannot be told from what the metadata says.
bool Checker::check_disk() {
    if (!has_page83_) report_.error("metadata", "the item virtual disk id is missing");
    if (!physical_sector_bytes_)
        report_.error("metadata", "the item physical sector size is missing");
    else if (*physical_sector_bytes_ != 512 && *physical_sector_bytes_ != 4096)
        report_.error("physical sector size", "{} is neither 512 nor 4096", *physical_sector_bytes_);
    if (!parameters_ || !virtual_bytes_ || !logical_sector_bytes_) {
        report_.error("metadata", "the item {} is missing",
                      !parameters_ ? "file parameters" : !virtual_bytes_ ? "virtual disk size" : "logical sector size");
        return false;
    }
    uint32_t block_bytes = parameters_->block_size;
    bool good = true;
    auto error = [&](std::string field, const std::string& message) {
        report_.error(std::move(field), "{}", message);
        good = false;
    };
    if (!std::has_single_bit(block_bytes) || block_bytes < block_bytes_min || block_bytes > block_bytes_max)
        error("file parameters", fmt::format("block size {} is not a power of two within 1..256 MiB", block_bytes));
    if (*logical_sector_bytes_ != 512 && *logical_sector_bytes_ != 4096)
        error("logical sector size", fmt::format("{} is neither 512 nor 4096", *logical_sector_bytes_));
    if (*virtual_bytes_ > disk_bytes_max) error("virtual disk size", fmt::format("{} is more than 64 TiB", *virtual_bytes_));
    if (!good) return false;
    if (*virtual_bytes_ % *logical_sector_bytes_ != 0)
        report_.error("virtual disk size", "{} is not a whole number of {}-byte sectors", *virtual_bytes_,
                      *logical_sector_bytes_);
    if (parameters_->flags > 3) report_.error("file parameters", "reserved flags are set");
    bool differencing = (parameters_->flags & has_parent) != 0;
    if (differencing != has_locator_)
        report_.error("parent locator", "{}", has_locator_ ? "there is one, but the disk has no parent" : "missing");
    layout_.emplace(*virtual_bytes_, block_bytes, *logical_sector_bytes_, differencing);
    report_.virtual_bytes = *virtual_bytes_;
    if (layout_->entry_count * 8 > bat_->length)
        error("region BAT", fmt::format("length {} is too short for {} entries", bat_->length, layout_->entry_count));
    return good;
}

Result<void> Checker::check_bat() {
    taken_.resize(divide_up(file_bytes_, MiB));
    for (const Part& region : regions_)
        for (uint64_t at = region.offset / MiB; at < (region.offset + region.length) / MiB; ++at) taken_[at] = true;
    Bytes part(MiB);
    for (uint64_t first = 0; first < layout_->entry_count; first += part.size() / 8) {
        uint64_t count = std::min<uint64_t>(part.size() / 8, layout_->entry_count - first);
        TRY(read(bat_->offset + first * 8, std::span(part).first(count * 8)));
        for (uint64_t i = 0; i < count; ++i) {
            uint64_t index = first + i, group = layout_->chunk_ratio + 1;
            uint64_t chunk = index / group, within = index % group;
            auto entry = load_le<uint64_t>(part.data() + i * 8);
            if (within == layout_->chunk_ratio)
                check_bitmap(index, chunk, entry);
            else if (entry != 0)
                check_payload(index, chunk * layout_->chunk_ratio + within, entry);
        }
    }
    return {};
}

void Checker::check_payload(uint64_t index, uint64_t block, uint64_t entry) {
    std::string field = fmt::format("BAT entry {} (block {})", index, block);
    uint64_t state = entry & bat_state_mask, block_bytes = parameters_->block_size;
    if ((entry & bat_reserved_mask) != 0) report_.error(field, "{:#x} has reserved bits set", entry);
    if (block >= layout_->block_count) {
        if (state != block_not_present) report_.error(field, "state {} beyond the disk's end", state);
        return;
    }
    if (state == 4 || state == 5) report_.error(field, "state {} is reserved", state);
    if (state != block_fully_present && state != block_partially_present) return;
    if (state == block_partially_present) {
        if (!has_locator_) report_.error(field, "partially present, but the disk has no parent");
        chunk_partial_ = true;
    }
    take(field, entry, std::min(block_bytes, *virtual_bytes_ - block * block_bytes), block_bytes);
}

void Checker::check_bitmap(uint64_t index, uint64_t chunk, uint64_t entry) {
    std::string field = fmt::format("BAT entry {} (sector bitmap {})", index, chunk);
    uint64_t state = entry & bat_state_mask;
    bool wanted = std::exchange(chunk_partial_, false);
    if ((entry & bat_reserved_mask) != 0) report_.error(field, "{:#x} has reserved bits set", entry);
    if (state != block_not_present && state != block_fully_present)
        report_.error(field, "state {} is neither 0 nor 6", state);
    else if (state == block_fully_present && !has_locator_)
        report_.error(field, "present, but the disk has no parent");
    else if (state == block_not_present && wanted)
        report_.error(field, "absent, but a block of the chunk is partially present");
    if (state == block_fully_present) take(field, entry, bitmap_block_bytes, bitmap_block_bytes);
}

void Checker::take(const std::string& field, uint64_t entry, uint64_t length, uint64_t whole) {
    uint64_t offset = round_down(entry, MiB);
    if (!range_within(offset, length, file_bytes_)) {
        report_.error(field, "offset {} and {} bytes lie past the end of the file ({} bytes)", offset, length, file_bytes_);
        return;
    }
    if (!range_within(offset, whole, file_bytes_))
        report_.warning(field, "the part of the block that is beyond the disk's end is not in the file");
    report_.allocated_bytes += length;
    uint64_t end = std::min<uint64_t>(taken_.size(), (offset + whole) / MiB);
    bool reported = false;
    for (uint64_t at = offset / MiB; at < end; ++at) {
        if (taken_[at] && !std::exchange(reported, true))
            report_.error(field, "offset {} is also that of a region or of another block", at * MiB);
        taken_[at] = true;
    }
}

}  // namespace

}  // namespace vhdx

Result<void> check_vhdx(const CheckedFile& file, CheckReport& report) { return vhdx::Checker(file, report).run(); }

}  // namespace hyper
