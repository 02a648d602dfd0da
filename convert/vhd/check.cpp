// SPDX-License-Identifier: Apache-2.0
// The strict checker of VHD.
//
// Design note. It reads the two footers, the dynamic header, the BAT and every block's sector bitmap, and keeps a list of all
// places in the file that are taken (headers, table, locators, blocks) to find what overlaps. An error is what breaks the
// specification, or makes readers differ in what they read; a warning is what is allowed, but what some reader stumbles over.
// Checksum and geometry are computed here anew, apart from the writer's.
#include <algorithm>
#include <cerrno>

#include "convert/vhd/layout.h"
#include "convert/vhd/vhd.h"

namespace hyper {

namespace {

using namespace vhd;

// A checksum holds when all bytes of the structure, with its checksum's own bytes left out, sum up to its complement.
uint32_t sum_without(std::span<const std::byte> bytes, size_t checksum_at) {
    uint32_t sum = 0;
    for (size_t i = 0; i < bytes.size(); ++i)
        if (i < checksum_at || i >= checksum_at + 4) sum += std::to_integer<uint32_t>(bytes[i]);
    return sum;
}

bool is_text(const Tag& tag) {
    return std::ranges::all_of(tag, [](char c) { return c == 0 || (c >= ' ' && c <= '~'); });
}

class Checker {
  public:
    Checker(const CheckedFile& file, CheckReport& report) : file_(file), report_(report) {}

    Result<void> run() {
        if (file_.size_bytes() < sizeof(Footer)) {
            report_.error("file size", "{} bytes are too few for a footer", file_.size_bytes());
            return {};
        }
        if (file_.size_bytes() % sector_bytes != 0)
            report_.error("file size", "{} is not a whole number of sectors", file_.size_bytes());
        footer_offset_ = file_.size_bytes() - sizeof(Footer);
        TRY(file_.read(footer_offset_, bytes_of(footer_)));
        bool footer_is_good = check_checksum("footer at the end", footer_, footer_cookie, offsetof(Footer, checksum));
        if (!footer_is_good) {
            // The copy may still tell what else is wrong.
            TRY(file_.read(0, bytes_of(footer_)));
            if (!check_checksum("footer copy at the front", footer_, footer_cookie, offsetof(Footer, checksum)))
                return {};
        }
        check_footer();
        if (footer_.disk_type == type_fixed) {
            check_fixed();
            return {};
        }
        if (footer_.disk_type != type_dynamic && footer_.disk_type != type_differencing) {
            report_.error("footer: disk type", "{} is none of 2 (fixed), 3 (dynamic), 4 (differencing)",
                          uint32_t{footer_.disk_type});
            return {};
        }
        if (footer_is_good) TRY(check_front_copy());
        return check_dynamic();
    }

  private:
    struct Place {
        uint64_t offset, length;
        std::string_view what;
        uint64_t number = unnumbered;

        std::string name() const {
            return number == unnumbered ? std::string(what) : fmt::format("{} {}", what, number);
        }
    };
    static constexpr uint64_t unnumbered = ~uint64_t{0};

    template <class Structure>
    bool check_checksum(const std::string& where, const Structure& structure, const Cookie& cookie, size_t at) {
        if (structure.cookie != cookie) {
            report_.error(where + ": cookie", "is not \"{}\"", std::string_view(cookie.data(), cookie.size()));
            return false;
        }
        uint32_t expected = ~sum_without(bytes_of(structure), at);
        if (structure.checksum != expected) {
            report_.error(where + ": checksum", "{:#010x} should be {:#010x}", uint32_t{structure.checksum}, expected);
            return false;
        }
        return true;
    }

    void check_footer() {
        if (footer_.features != features_reserved)
            report_.error("footer: features", "{:#x} should be {:#x}", uint32_t{footer_.features}, features_reserved);
        if (footer_.version != format_version)
            report_.error("footer: version", "{:#x} should be {:#x}", uint32_t{footer_.version}, format_version);
        if (!all_zero(footer_.reserved)) report_.error("footer: reserved", "is not all zero");
        if (all_zero(footer_.unique_id)) report_.error("footer: unique id", "is all zero");
        if (!is_text(footer_.creator_app)) report_.warning("footer: creator application", "is not text");
        if (footer_.saved_state > 1)
            report_.error("footer: saved state", "{} is neither 0 nor 1", footer_.saved_state);
        else if (footer_.saved_state == 1)
            report_.warning("footer: saved state", "a virtual machine is suspended on this disk");
        check_size("footer: original size", footer_.original_size);
        check_size("footer: current size", footer_.current_size);
        report_.virtual_bytes = footer_.current_size;
        check_geometry();
    }

    void check_size(const std::string& field, uint64_t size) {
        if (size == 0 || size % sector_bytes != 0)
            report_.error(field, "{} is not a whole number of sectors, or none", size);
        else if (size > disk_size_max)
            report_.error(field, "{} is more than 2040 GiB", size);
    }

    // The geometry may round down the size, but neither exceed it nor fall short by more than rounding does.
    void check_geometry() {
        const Geometry& geometry = footer_.geometry;
        uint64_t size = footer_.current_size, by_geometry = geometry.bytes();
        uint64_t cylinder = uint64_t{geometry.heads} * geometry.sectors_per_track * sector_bytes;
        bool largest = geometry.cylinders == 65535 && geometry.heads == 16 && geometry.sectors_per_track == 255;
        if (cylinder == 0 || geometry.heads > 16) {
            report_.error("footer: geometry", "{} heads, {} sectors a track", geometry.heads,
                          geometry.sectors_per_track);
        } else if (largest) {
            return;  // stands for "as large as the current size"
        } else if (by_geometry > size) {
            report_.error("footer: geometry", "{}/{}/{} is {} bytes, more than the current size {}",
                          uint16_t{geometry.cylinders}, geometry.heads, geometry.sectors_per_track, by_geometry, size);
        } else if (size - by_geometry >= cylinder) {
            report_.error("footer: geometry", "{}/{}/{} is {} bytes, a cylinder or more below the current size {}",
                          uint16_t{geometry.cylinders}, geometry.heads, geometry.sectors_per_track, by_geometry, size);
        } else if (by_geometry != size && (footer_.creator_app == Tag{'v', 'p', 'c', ' '} ||
                                           footer_.creator_app == Tag{'q', 'e', 'm', 'u'})) {
            report_.warning("footer: geometry", "readers differ in the disk's size: {} by geometry, {} by current size",
                            by_geometry, size);
        }
    }

    void check_fixed() {
        report_.allocated_bytes = footer_.current_size;
        if (footer_.data_offset != no_offset)
            report_.error("footer: data offset", "{:#x} should be all ones in a fixed disk",
                          uint64_t{footer_.data_offset});
        if (footer_.current_size != footer_offset_)
            report_.error("footer: current size", "{} but {} bytes stand before the footer",
                          uint64_t{footer_.current_size}, footer_offset_);
    }

    Result<void> check_front_copy() {
        Footer front;
        TRY(file_.read(0, bytes_of(front)));
        if (check_checksum("footer copy at the front", front, footer_cookie, offsetof(Footer, checksum)) &&
            !std::ranges::equal(bytes_of(front), bytes_of(footer_)))
            report_.error("footer copy at the front", "differs from the footer at the end");
        return {};
    }

    Result<void> check_dynamic() {
        uint64_t offset = footer_.data_offset;
        if (offset % sector_bytes != 0 || offset < sizeof(Footer) ||
            !range_within(offset, sizeof header_, footer_offset_)) {
            report_.error("footer: data offset", "{} is no place for a dynamic header", offset);
            return {};
        }
        TRY(file_.read(offset, bytes_of(header_)));
        if (!check_checksum("dynamic header", header_, header_cookie, offsetof(DynamicHeader, checksum))) return {};
        places_.push_back({0, sizeof(Footer), "the footer copy"});
        places_.push_back({offset, sizeof header_, "the dynamic header"});
        check_header();
        if (check_table_fields()) TRY(check_table());
        check_overlaps();
        return {};
    }

    void check_header() {
        if (header_.data_offset != no_offset)
            report_.error("dynamic header: data offset", "{:#x} should be all ones", uint64_t{header_.data_offset});
        if (header_.version != format_version)
            report_.error("dynamic header: version", "{:#x} should be {:#x}", uint32_t{header_.version},
                          format_version);
        if (header_.reserved1 != 0 || !all_zero(header_.reserved2))
            report_.error("dynamic header: reserved", "is not all zero");
        bool differencing = footer_.disk_type == type_differencing;
        if (differencing == all_zero(header_.parent_unique_id))
            report_.error("dynamic header: parent unique id", "{}", differencing ? "is all zero" : "is set without a parent");
        if (!differencing && header_.parent_timestamp != 0)
            report_.error("dynamic header: parent timestamp", "is set without a parent");
        if (differencing != (header_.parent_name[0] != 0))
            report_.error("dynamic header: parent unicode name", "{}", differencing ? "is empty" : "is set without a parent");
        size_t used = 0;
        for (size_t i = 0; i < header_.parent_locators.size(); ++i)
            if (check_locator(i, differencing)) ++used;
        if (differencing && used == 0) report_.warning("dynamic header: parent locators", "there are none");
    }

    // True if it is in use.
    bool check_locator(size_t i, bool differencing) {
        const ParentLocator& locator = header_.parent_locators[i];
        std::string field = fmt::format("parent locator {}", i);
        if (all_zero(bytes_of(locator))) return false;
        if (locator.platform_code == Tag{}) {
            report_.warning(field, "is not all zero, but has no platform code");
            return false;
        }
        if (!differencing) report_.error(field, "is set without a parent");
        if (locator.reserved != 0) report_.error(field, "reserved is not zero");
        // The space is in sectors by the specification and in bytes with some writers.
        uint64_t space = locator.data_space;
        if (space < sector_bytes) space *= sector_bytes;
        if (locator.data_length == 0 || locator.data_length > space)
            report_.error(field, "data length {} in a space of {}", uint32_t{locator.data_length},
                          uint32_t{locator.data_space});
        uint64_t length = std::max<uint64_t>(space, locator.data_length);
        if (!range_within(locator.data_offset, length, footer_offset_))
            report_.error(field, "{} bytes at offset {} lead past the end of the file", length,
                          uint64_t{locator.data_offset});
        else
            places_.push_back({locator.data_offset, length, "parent locator", i});
        return true;
    }

    bool check_table_fields() {
        uint32_t block_size = header_.block_size, entries = header_.max_table_entries;
        if (block_size < sector_bytes || !std::has_single_bit(block_size)) {
            report_.error("dynamic header: block size", "{} is not a power of two of 512 or more", block_size);
            return false;
        }
        if (block_size != 2 * MiB && block_size != 512 * KiB)
            report_.warning("dynamic header: block size", "{} is neither 2 MiB nor 512 KiB", block_size);
        uint64_t needed = divide_up(footer_.current_size, block_size);
        if (entries < needed)
            report_.error("dynamic header: max table entries", "{} but the disk has {} blocks", entries, needed);
        else if (entries > needed)
            report_.warning("dynamic header: max table entries", "{} but the disk has {} blocks", entries, needed);
        uint64_t table_bytes = uint64_t{entries} * sizeof(be32), offset = header_.table_offset;
        if (table_bytes > table_bytes_max) {
            report_.error("dynamic header: max table entries", "{} make a table of {} bytes, more than {}", entries,
                          table_bytes, table_bytes_max);
            return false;
        }
        if (offset % sector_bytes != 0 || !range_within(offset, table_bytes, footer_offset_)) {
            report_.error("dynamic header: table offset", "{} is no place for a table of {} bytes", offset,
                          table_bytes);
            return false;
        }
        places_.push_back({offset, round_up(table_bytes, sector_bytes), "the block allocation table"});
        table_end_ = offset + table_bytes;
        return true;
    }

    Result<void> check_table() {
        std::vector<be32> entries(header_.max_table_entries);
        if (!entries.empty()) TRY(file_.read(header_.table_offset, std::as_writable_bytes(std::span(entries))));
        uint64_t blocks = divide_up(footer_.current_size, header_.block_size);
        for (uint64_t block = 0; block < entries.size(); ++block)
            if (entries[block] != block_absent) TRY(check_block(block, entries[block] * sector_bytes, blocks));
        return {};
    }

    Result<void> check_block(uint64_t block, uint64_t offset, uint64_t blocks) {
        std::string field = fmt::format("BAT entry {}", block);
        uint64_t length = bitmap_bytes(header_.block_size) + header_.block_size;
        if (block >= blocks) report_.error(field, "the disk has only {} blocks", blocks);
        if (!range_within(offset, length, footer_offset_)) {
            report_.error(field, "a block of {} bytes at offset {} leads past the end of the file", length, offset);
            return {};
        }
        if (offset < table_end_) report_.warning(field, "a block at offset {} stands before the table's end", offset);
        places_.push_back({offset, length, "BAT entry", block});
        report_.allocated_bytes += header_.block_size;
        return block < blocks ? check_bitmap(field, block, offset) : Result<void>{};
    }

    Result<void> check_bitmap(const std::string& field, uint64_t block, uint64_t offset) {
        std::vector<std::byte> bitmap(bitmap_bytes(header_.block_size));
        TRY(file_.read(offset, bitmap));
        uint64_t in_disk = std::min<uint64_t>(header_.block_size, footer_.current_size - block * header_.block_size);
        uint64_t sectors = in_disk / sector_bytes, set = 0;
        for (uint64_t sector = 0; sector < sectors; ++sector)
            if ((bitmap[sector / 8] & std::byte{0x80} >> (sector % 8)) != std::byte{0}) ++set;
        bool differencing = footer_.disk_type == type_differencing;
        if (set == 0 && !differencing)
            report_.error(field, "the sector bitmap is all zero, so that readers differ in what the block holds");
        else if (set == 0)
            report_.warning(field, "the sector bitmap is all zero: the block holds nothing");
        else if (set < sectors && !differencing)
            report_.warning(field, "the sector bitmap has {} of {} sectors: QEMU reads the others too", set, sectors);
        return {};
    }

    void check_overlaps() {
        std::ranges::sort(places_, {}, &Place::offset);
        const Place* widest = nullptr;  // the place before that reaches farthest
        for (const Place& place : places_) {
            if (widest != nullptr && place.offset < widest->offset + widest->length)
                report_.error(place.name(), "{} bytes at offset {} overlap {} at offset {}", place.length,
                              place.offset, widest->name(), widest->offset);
            if (widest == nullptr || place.offset + place.length > widest->offset + widest->length) widest = &place;
        }
    }

    const CheckedFile& file_;
    CheckReport& report_;
    Footer footer_;
    DynamicHeader header_;
    uint64_t footer_offset_ = 0, table_end_ = 0;
    std::vector<Place> places_;
};

}  // namespace

Result<void> check_vhd(const CheckedFile& file, CheckReport& report) { return Checker(file, report).run(); }

}  // namespace hyper
