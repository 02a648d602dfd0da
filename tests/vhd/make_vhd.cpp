// SPDX-License-Identifier: Apache-2.0
#include "tests/vhd/make_vhd.h"

#include <algorithm>

namespace hyper::test {

using namespace vhd;

namespace {

void append(Bytes& image, std::span<const std::byte> bytes) { image.insert(image.end(), bytes.begin(), bytes.end()); }

void pad(Bytes& image) { image.resize(round_up(image.size(), sector_bytes)); }

}  // namespace

Footer& front_footer(Bytes& image) { return *reinterpret_cast<Footer*>(image.data()); }
Footer& end_footer(Bytes& image) { return *reinterpret_cast<Footer*>(&image[image.size() - sizeof(Footer)]); }
DynamicHeader& header_of(Bytes& image) { return *reinterpret_cast<DynamicHeader*>(&image[made_header_at]); }
be32& table_entry(Bytes& image, size_t block) { return reinterpret_cast<be32*>(&image[made_table_at])[block]; }

void seal(Bytes& image) {
    seal_one(front_footer(image));
    seal_one(end_footer(image));
    seal_one(header_of(image));
}

Bytes MadeVhd::bytes() const {
    Footer footer{};
    footer.cookie = footer_cookie;
    footer.features = features_reserved;
    footer.version = format_version;
    footer.data_offset = made_header_at;
    footer.timestamp = timestamp;
    footer.creator_app = creator;
    footer.original_size = disk_size;
    footer.current_size = disk_size;
    footer.geometry = {static_cast<uint16_t>(disk_size / sector_bytes / 68), 4, 17};
    footer.disk_type = parent_id ? type_differencing : type_dynamic;
    footer.unique_id = unique_id;

    DynamicHeader header{};
    header.cookie = header_cookie;
    header.data_offset = no_offset;
    header.table_offset = made_table_at;
    header.version = format_version;
    header.max_table_entries = static_cast<uint32_t>(divide_up(disk_size, block_size));
    header.block_size = block_size;
    if (parent_id) header.parent_unique_id = *parent_id;
    if (parent_id) header.parent_timestamp = parent_timestamp;
    std::ranges::copy(parent_name, header.parent_name.begin());

    Bytes image(made_table_at);
    std::vector<be32> table(header.max_table_entries, be32(block_absent));
    append(image, std::as_bytes(std::span(table)));
    pad(image);
    for (size_t i = 0; i < locators.size(); ++i) {
        ParentLocator& locator = header.parent_locators[i];
        locator.platform_code = locators[i].platform_code;
        locator.data_space = 512;
        locator.data_length = static_cast<uint32_t>(locators[i].name.size() * 2);
        locator.data_offset = image.size();
        append(image, std::as_bytes(std::span(locators[i].name)));
        pad(image);
    }
    for (const auto& [block, made] : blocks) {
        table_entry(image, block) = static_cast<uint32_t>(image.size() / sector_bytes);
        Bytes bitmap(bitmap_bytes(block_size));
        for (uint64_t sector = 0; sector < block_size / sector_bytes; ++sector)
            if (made.has_sector(sector)) bitmap[sector / 8] |= std::byte{0x80} >> (sector % 8);
        append(image, bitmap);
        image.insert(image.end(), block_size, made.fill);
    }
    append(image, bytes_of(footer));
    front_footer(image) = footer;
    header_of(image) = header;
    seal(image);
    return image;
}

}  // namespace hyper::test
