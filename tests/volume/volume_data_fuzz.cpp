// SPDX-License-Identifier: Apache-2.0
// A data file of any bytes, with right hashes where records might be, since no fuzzer finds those.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "blockengine/volume/data_scan.h"

namespace hyper {
namespace {

constexpr uint32_t number = 1;
constexpr VolumeId volume{};

void require(bool condition) {
    if (!condition) std::abort();
}

void set_hashes(std::span<std::byte> bytes) {
    for (uint64_t at = 0; at + record_header_bytes <= bytes.size(); at += record_alignment) {
        auto here = bytes.subspan(at);
        auto head = decode_header(here.first<record_header_bytes>());
        if (!head || head->head_bytes() > here.size()) continue;
        set_record_hash({volume, number, at}, here.first(head->head_bytes()));
        if (head->kind == RecordKind::batch || !range_within(head->body_offset(), head->body_bytes, here.size())) continue;
        auto body = here.subspan(head->body_offset(), head->body_bytes);
        Hash128 hash = xxh3_128(body.subspan(sizeof hash));
        std::memcpy(body.data(), hash.data(), sizeof hash);
    }
}

// Records and damaged ranges follow each other without gaps, and say nothing that cannot be.
void scan(const File& file) {
    uint64_t at = 0;
    ScanVisitor visitor;
    visitor.record = [&](const ScannedRecord& record) -> Result<void> {
        require(record.offset == at && record.end > at && record.end % record_alignment == 0);
        uint64_t body = record.offset + record.head.body_offset(), body_end = body + record.head.body_bytes;
        require(record.entries.size() == record.head.count && body_end <= record.end);
        for (const auto& [block, entry, in_body] : record.entries) {
            if (!in_body) continue;
            require(entry.place.file == number && entry.place.offset == body);
            body += entry.place.stored_bytes;
        }
        if (record.head.kind == RecordKind::batch)
            require(body == body_end && record.missing_bytes == body_end - std::min(body_end, std::max(file.size_bytes(),
                    record.offset + record.head.body_offset())));
        else
            require(record.text.size() + sizeof(Hash128) == record.head.body_bytes && body_end <= file.size_bytes());
        at = record.end;
        return {};
    };
    visitor.damaged = [&](uint64_t offset, uint64_t length, const std::string& why) -> Result<void> {
        require(offset == at && length > 0 && range_within(offset, length, file.size_bytes()) && !why.empty());
        at = offset + length;
        return {};
    };
    require(scan_data_file(file, number, volume, visitor).has_value());
    require(at >= file.size_bytes());
}

}  // namespace
}  // namespace hyper

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace hyper;
    static std::unique_ptr<Io> io = make_pread_io();
    std::vector<std::byte> bytes(size);
    if (size > 0) std::memcpy(bytes.data(), data, size);
    for (bool right_hashes : {false, true}) {
        if (right_hashes) set_hashes(bytes);
        auto file = File::from_bytes(bytes, "data", *io);
        if (!file) std::abort();
        scan(**file);
    }
    return 0;
}
