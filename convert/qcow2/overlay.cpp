// SPDX-License-Identifier: Apache-2.0
#include "convert/qcow2/overlay.h"

#include <cerrno>
#include <cstring>

#include "convert/qcow2/format.h"
#include "convert/qcow2/layout.h"

namespace hyper {

using namespace qcow2;

Result<Qcow2Overlay> empty_qcow2_overlay(uint64_t disk_bytes, const std::string& backing, Format backing_format) {
    constexpr uint64_t cluster_bytes = 64 * KiB;
    if (backing.empty() || backing.size() > backing_name_bytes_max)
        return fail(EINVAL, "{}: a qcow2 file refers to names of 1 to {} bytes", backing, backing_name_bytes_max);
    Layout layout = TRY(Layout::compute(backing, round_up(disk_bytes, sector_bytes), cluster_bytes, 0, 0, 0));
    Header header = header_of(layout);
    std::string_view format = format_name(backing_format);
    ExtensionHeader extension{};
    extension.type = extension_backing_format;
    extension.length = static_cast<uint32_t>(format.size());
    const uint64_t format_offset = sizeof(Header) + sizeof extension;
    // The header that ends the extensions is of zeros.
    const uint64_t name_offset = round_up(format_offset + format.size(), 8) + sizeof(ExtensionHeader);
    header.backing_file_offset = name_offset;
    header.backing_file_size = static_cast<uint32_t>(backing.size());

    Qcow2Overlay overlay{Bytes(layout.l1_table), layout.end};
    auto put = [&](uint64_t offset, std::span<const std::byte> bytes) { std::memcpy(overlay.head.data() + offset, bytes.data(), bytes.size()); };
    put(0, bytes_of(header));
    put(sizeof header, bytes_of(extension));
    put(format_offset, bytes_of_text(format));
    put(name_offset, bytes_of_text(backing));
    for (uint64_t i = 0; i < layout.refcount_block_count; ++i)
        store_be<uint64_t>(overlay.head.data() + layout.refcount_table + i * 8, layout.refcount_blocks + i * cluster_bytes);
    for (uint64_t i = 0; i < layout.cluster_count; ++i) store_be<uint16_t>(overlay.head.data() + layout.refcount_blocks + i * 2, 1);
    return overlay;
}

}  // namespace hyper
