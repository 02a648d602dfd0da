// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/data_scan.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

namespace hyper {

namespace {

class Scan {
  public:
    Scan(const File& file, uint32_t number, const VolumeId& volume, const ScanVisitor& visitor)
        : file_(file), number_(number), volume_(volume), visitor_(visitor) {}

    Result<void> run() {
        uint64_t at = 0;
        while (at < file_.size_bytes()) {
            uint64_t next = TRY(step(at));
            if (why_.empty()) damage_from_ = next;
            at = next;
        }
        return tell_damage(file_.size_bytes());
    }

  private:
    // Looks for a record at `at`; where to look next.
    Result<uint64_t> step(uint64_t at) {
        auto head = read_head(at);
        if (!head) {
            if (head.error().code == EAGAIN) return tl::unexpected(head.error());
            if (why_.empty()) why_ = head.error().message;
            return at + record_alignment;
        }
        TRY(tell_damage(at));
        // The head is right, so it tells for sure where the record ends.
        uint64_t end = at + head->record_bytes();
        damage_from_ = at;
        TRY(visit(*head, at, end));
        return end;
    }

    Result<void> tell_damage(uint64_t end) {
        if (why_.empty()) return {};
        std::string why = std::exchange(why_, {});
        return visitor_.damaged(damage_from_, end - damage_from_, why);
    }

    // The header, and the entries in bytes_, with the right hash.
    Result<RecordHead> read_head(uint64_t at) {
        uint64_t left = file_.size_bytes() - at;
        if (left < record_header_bytes) return fail(EIO, "no record fits into the {} bytes that are left", left);
        std::array<std::byte, record_header_bytes> header;
        TRY(file_.read(at, header));
        auto head = decode_header(header);
        if (!head) return fail(EIO, "no header of a record is there");
        if (head->head_bytes() > left) return fail(EIO, "the file ends within a record's entries");
        bytes_.resize(head->head_bytes());
        TRY(file_.read(at, bytes_));
        if (!record_hash_matches(place(at), bytes_)) return fail(EIO, "the hash of a record's header and entries differs");
        auto entries = decode_entries(place(at), *head, bytes_);
        if (!entries) return fail(EIO, "an entry of a record is impossible");
        entries_ = std::move(*entries);
        return *head;
    }

    Result<void> visit(const RecordHead& head, uint64_t at, uint64_t end) {
        ScannedRecord record{head, at, end, entries_, {}, 0};
        uint64_t body = at + head.body_offset(), body_end = body + head.body_bytes;
        if (head.kind == RecordKind::batch) {
            record.missing_bytes = body_end - std::clamp(file_.size_bytes(), body, body_end);
            return visitor_.record(record);
        }
        auto text = read_text(body, head.body_bytes);
        if (text) {
            record.text = *text;
            return visitor_.record(record);
        }
        if (text.error().code == EAGAIN) return tl::unexpected(text.error());
        why_ = text.error().message;
        return tell_damage(std::min(end, file_.size_bytes()));
    }

    Result<std::string_view> read_text(uint64_t at, uint64_t length) {
        if (!range_within(at, length, file_.size_bytes())) return fail(EIO, "the file ends within a record's text");
        bytes_.resize(length);
        TRY(file_.read(at, bytes_));
        auto text = std::span<const std::byte>(bytes_).subspan(sizeof(Hash128));
        Hash128 hash = xxh3_128(text);
        if (std::memcmp(bytes_.data(), hash.data(), sizeof hash) != 0) return fail(EIO, "the hash of a record's text differs");
        return std::string_view(reinterpret_cast<const char*>(text.data()), text.size());
    }

    RecordPlace place(uint64_t at) const { return {volume_, number_, at}; }

    const File& file_;
    const uint32_t number_;
    const VolumeId volume_;
    const ScanVisitor& visitor_;
    std::vector<std::byte> bytes_;
    std::vector<BatchEntry> entries_;
    uint64_t damage_from_ = 0;
    std::string why_;  // what is wrong from there on; empty: nothing
};

}  // namespace

Result<void> scan_data_file(const File& file, uint32_t number, const VolumeId& volume, const ScanVisitor& visitor) {
    return Scan(file, number, volume, visitor).run();
}

}  // namespace hyper
