// SPDX-License-Identifier: Apache-2.0
// A small valid VHDX file in memory, for what qemu-img does not write and for damage done on purpose.
// Layout: header section | log (1 MiB) | metadata (1 MiB) | BAT (1 MiB) | blocks.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "blockengine/block_cache.h"
#include "convert/vhdx/crc32c.h"
#include "convert/vhdx/structs.h"

namespace hyper::test {

using namespace hyper::vhdx;

struct VhdxSpec {
    uint64_t virtual_bytes = 4 * MiB;
    uint32_t block_bytes = MiB;
    uint32_t logical_sector_bytes = 512;
    uint32_t flags = 0;
    std::vector<std::pair<std::u16string, std::u16string>> locator = {};  // given: a differencing disk
};

class VhdxBuilder {
  public:
    static constexpr uint64_t log_offset = MiB, metadata_offset = 2 * MiB, bat_offset = 3 * MiB, data_offset = 4 * MiB;
    static constexpr uint64_t items_offset = metadata_offset + metadata_table_bytes;
    static constexpr Guid data_write_guid = make_guid(0x11223344, 0x5566, 0x7788, 0x99aabbccddeeff00);
    static constexpr const char16_t* data_write_text = u"{11223344-5566-7788-99aa-bbccddeeff00}";
    static constexpr Guid log_guid = make_guid(0xfeedf00d, 1, 2, 3);

    explicit VhdxBuilder(const VhdxSpec& spec = {}) : bytes(data_offset), spec_(spec) {
        put(0, bytes_of_text(file_signature));
        for (uint64_t i = 0; i < 2; ++i) {
            Header header{};
            header.signature = header_signature;
            header.sequence_number = 7 + i;
            header.data_write_guid = data_write_guid;
            header.version = 1;
            header.log_length = MiB;
            header.log_offset = log_offset;
            put(header_offsets[i], bytes_of(header));
            RegionTableHeader regions{region_signature, 0, 2, 0};
            RegionEntry entries[2] = {{bat_region, bat_offset, MiB, 1}, {metadata_region, metadata_offset, MiB, 1}};
            put(region_table_offsets[i], bytes_of(regions));
            put(region_table_offsets[i] + 16, std::as_bytes(std::span(entries)));
        }
        put(metadata_offset, bytes_of_text(metadata_signature));
        item(file_parameters_item, 4,
             bytes_of(FileParameters{spec.block_bytes, spec.flags | (spec.locator.empty() ? 0 : has_parent)}));
        item(virtual_size_item, 6, bytes_of(le64(spec.virtual_bytes)));
        item(page83_item, 6, bytes_of(data_write_guid));
        item(logical_sector_item, 6, bytes_of(le32(spec.logical_sector_bytes)));
        item(physical_sector_item, 6, bytes_of(le32(4096)));
        if (!spec.locator.empty()) item(parent_locator_item, 4, locator());
        seal();
    }

    // The value of a BAT entry's block of `length` bytes, each of the value `fill`, at the file's end.
    uint64_t append(uint64_t length, uint8_t fill, uint64_t state = block_fully_present) {
        uint64_t offset = bytes.size();
        bytes.resize(offset + length, std::byte{fill});
        return offset | state;
    }
    void set_bat(uint64_t index, uint64_t entry) { poke<uint64_t>(bat_offset + index * 8, entry); }
    void set_block(uint64_t block, uint64_t entry) { set_bat(layout().payload_index(block), entry); }
    BatLayout layout() const {
        return {spec_.virtual_bytes, spec_.block_bytes, spec_.logical_sector_bytes, !spec_.locator.empty()};
    }
    template <class T>
    void poke(uint64_t offset, T value) {
        store_le<T>(bytes.data() + offset, value);
    }
    void put(uint64_t offset, std::span<const std::byte> value) {
        std::copy(value.begin(), value.end(), bytes.begin() + static_cast<ptrdiff_t>(offset));
    }

    // The checksums of headers and region tables.
    void seal() { seal(bytes); }
    static void seal(std::span<std::byte> file) {
        for (uint64_t at : header_offsets) seal_part(file.subspan(at, sizeof(Header)));
        for (uint64_t at : region_table_offsets) seal_part(file.subspan(at, region_table_bytes));
    }
    // A part that begins with a signature and its checksum.
    static void seal_part(std::span<std::byte> part) {
        store_le<uint32_t>(part.data() + 4, 0);
        store_le<uint32_t>(part.data() + 4, crc32c(part));
    }

    // A sector to be logged, or zeros where it has no bytes.
    struct Write {
        uint64_t file_offset;
        Bytes sector = {};
        uint64_t zero_bytes = 0;
    };
    // Writes an entry at `position` of the log (which is a ring) and tells where it ends.
    uint64_t add_log_entry(uint64_t position, uint64_t sequence, uint64_t tail, const std::vector<Write>& writes) {
        LogEntryHeader header{};
        uint64_t data = round_up(sizeof header + writes.size() * sizeof(LogDescriptor), log_sector_bytes);
        Bytes entry(data);
        for (size_t i = 0; i < writes.size(); ++i) {
            LogDescriptor d{};
            d.file_offset = writes[i].file_offset;
            d.sequence_number = sequence;
            if (writes[i].sector.empty()) {
                d.signature = log_zero_signature;
                d.leading_bytes = writes[i].zero_bytes;
            } else {
                d.signature = log_descriptor_signature;
                d.leading_bytes = load_le<uint64_t>(writes[i].sector.data());
                d.trailing_bytes = load_le<uint32_t>(writes[i].sector.data() + 4092);
                LogDataSector sector{};
                sector.signature = log_data_signature;
                sector.sequence_high = static_cast<uint32_t>(sequence >> 32);
                sector.sequence_low = static_cast<uint32_t>(sequence);
                std::memcpy(sector.data, writes[i].sector.data() + 8, sizeof sector.data);
                entry.insert(entry.end(), bytes_of(sector).begin(), bytes_of(sector).end());
            }
            std::memcpy(entry.data() + sizeof header + i * sizeof d, &d, sizeof d);
        }
        header.signature = log_entry_signature;
        header.entry_length = static_cast<uint32_t>(entry.size());
        header.tail = static_cast<uint32_t>(tail);
        header.sequence_number = sequence;
        header.descriptor_count = static_cast<uint32_t>(writes.size());
        header.log_guid = log_guid;
        header.flushed_file_offset = flushed_file_offset == 0 ? bytes.size() : flushed_file_offset;
        header.last_file_offset = last_file_offset == 0 ? bytes.size() : last_file_offset;
        std::memcpy(entry.data(), &header, sizeof header);
        seal_part(entry);
        for (size_t i = 0; i < entry.size(); ++i) bytes[log_offset + (position + i) % MiB] = entry[i];
        return (position + entry.size()) % MiB;
    }
    // Says in both headers that the log is to be replayed.
    void mark_dirty() {
        for (uint64_t at : header_offsets) put(at + offsetof(Header, log_guid), log_guid.bytes);
        seal();
    }
    uint64_t flushed_file_offset = 0, last_file_offset = 0;  // of entries added; 0: the file's size

    Bytes bytes;

  private:
    void item(const Guid& guid, uint32_t flags, std::span<const std::byte> value) {
        MetadataEntry entry{guid, static_cast<uint32_t>(items_offset - metadata_offset + used_),
                            static_cast<uint32_t>(value.size()), flags, 0};
        put(metadata_offset + sizeof(MetadataTableHeader) + count_++ * sizeof entry, bytes_of(entry));
        put(items_offset + used_, value);
        poke<uint16_t>(metadata_offset + offsetof(MetadataTableHeader, entry_count), count_);
        used_ += value.size();
    }
    Bytes locator() const {
        ParentLocatorHeader header{vhdx_parent_locator, 0, static_cast<uint16_t>(spec_.locator.size())};
        Bytes table(sizeof header + spec_.locator.size() * sizeof(ParentLocatorEntry)), text;
        std::memcpy(table.data(), &header, sizeof header);
        auto add = [&](const std::u16string& words) {
            auto part = std::as_bytes(std::span(words));
            auto offset = static_cast<uint32_t>(table.size() + text.size());
            text.insert(text.end(), part.begin(), part.end());
            return std::pair{offset, static_cast<uint16_t>(part.size())};
        };
        for (size_t i = 0; i < spec_.locator.size(); ++i) {
            auto [key_offset, key_length] = add(spec_.locator[i].first);
            auto [value_offset, value_length] = add(spec_.locator[i].second);
            ParentLocatorEntry entry{key_offset, value_offset, key_length, value_length};
            std::memcpy(table.data() + sizeof header + i * sizeof entry, &entry, sizeof entry);
        }
        table.insert(table.end(), text.begin(), text.end());
        return table;
    }

    VhdxSpec spec_;
    uint64_t used_ = 0;
    uint16_t count_ = 0;
};

}  // namespace hyper::test
