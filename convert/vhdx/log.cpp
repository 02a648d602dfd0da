// SPDX-License-Identifier: Apache-2.0
// Design note, after [MS-VHDX] 2.3. The log is a ring of entries; each is a whole number of 4 KiB sectors: a header, descriptors,
// then one data sector for each data descriptor. The entries that count are the *active sequence*: valid
// entries one after the other, their sequence numbers rising by one, the last of which (the head) names an entry
// of the sequence as its tail; of several the one with the highest sequence number. It is replayed from
// tail to head. An entry that is damaged ends a sequence, for that is what a crash in the middle of a write leaves.
//
// A logged sector is stored with its first 8 and last 4 bytes moved to its descriptor. Replaying puts them back in place, so
// the log's own buffer becomes the bytes that the changes refer to.
//
// Bounds: the log's length; the number of changes; and the bytes checksummed while searching, since a hostile log can
// have a long entry with a wrong checksum begin in every sector.
#include "convert/vhdx/log.h"

#include <algorithm>
#include <cerrno>
#include <optional>

#include "convert/vhdx/crc32c.h"

namespace hyper::vhdx {

namespace {

constexpr size_t changes_max = 1 << 18;
constexpr uint64_t search_rounds_max = 8;  // times the log's length; a crash leaves at most three

struct Entry {
    uint64_t position, length;
    LogEntryHeader header;
};

}  // namespace

// Finds the active sequence. Bound to one thread.
class LogReader {
  public:
    LogReader(const LogOverlay::Place& place, Bytes& log) : place_(place), log_(log) {}

    Result<std::vector<Entry>> active_sequence();
    Result<void> replay(const Entry& entry, LogOverlay& overlay);

  private:
    std::optional<Entry> entry_at(uint64_t position);
    bool checksum_good(const Entry& entry);
    bool descriptors_good(const Entry& entry) const;
    std::byte* at(uint64_t position) const { return log_.data() + position % log_.size(); }
    LogDescriptor descriptor(const Entry& entry, uint32_t index) const {
        return load<LogDescriptor>(at(entry.position + sizeof(LogEntryHeader) + index * sizeof(LogDescriptor)));
    }
    static uint64_t data_start(const Entry& entry) {
        return round_up(sizeof(LogEntryHeader) + entry.header.descriptor_count * sizeof(LogDescriptor),
                        log_sector_bytes);
    }

    const LogOverlay::Place& place_;
    Bytes& log_;
    uint64_t searched_bytes_ = 0;
};

bool LogReader::checksum_good(const Entry& entry) {
    searched_bytes_ += entry.length;
    LogEntryHeader header = entry.header;
    header.checksum = 0;
    uint32_t crc = crc32c(bytes_of(header));
    // The rest of the entry, in two parts where it passes the end of the ring.
    uint64_t from = entry.position + sizeof header, left = entry.length - sizeof header;
    uint64_t first = std::min<uint64_t>(left, log_.size() - from);
    crc = crc32c({at(from), first}, crc);
    crc = crc32c({log_.data(), left - first}, crc);
    return crc == entry.header.checksum;
}

bool LogReader::descriptors_good(const Entry& entry) const {
    uint64_t sequence = entry.header.sequence_number, data = data_start(entry);
    for (uint32_t i = 0; i < entry.header.descriptor_count; ++i) {
        LogDescriptor d = descriptor(entry, i);
        if (d.sequence_number != sequence) return false;
        if (d.signature == log_zero_signature) continue;
        if (d.signature != log_descriptor_signature || data >= entry.length) return false;
        auto sector = load<LogDataSector>(at(entry.position + data));
        uint64_t sector_sequence = uint64_t{sector.sequence_high} << 32 | sector.sequence_low;
        if (sector.signature != log_data_signature || sector_sequence != sequence) return false;
        data += log_sector_bytes;
    }
    return true;
}

std::optional<Entry> LogReader::entry_at(uint64_t position) {
    Entry entry{position, 0, load<LogEntryHeader>(at(position))};
    const LogEntryHeader& header = entry.header;
    entry.length = header.entry_length;
    if (header.signature != log_entry_signature || header.log_guid != place_.log_guid) return std::nullopt;
    if (entry.length == 0 || entry.length % log_sector_bytes != 0 || entry.length > log_.size()) return std::nullopt;
    if (header.tail % log_sector_bytes != 0 || header.tail >= log_.size()) return std::nullopt;
    if (header.sequence_number == 0 || data_start(entry) > entry.length) return std::nullopt;
    if (!checksum_good(entry) || !descriptors_good(entry)) return std::nullopt;
    return entry;
}

Result<std::vector<Entry>> LogReader::active_sequence() {
    std::vector<Entry> best;
    for (uint64_t start = 0; start < log_.size();) {
        std::vector<Entry> run;
        uint64_t run_bytes = 0;
        while (run_bytes < log_.size()) {
            auto entry = entry_at((start + run_bytes) % log_.size());
            if (searched_bytes_ > search_rounds_max * log_.size())
                return fail(EINVAL, "{}: log: entries overlap over and over: the log is damaged", place_.file_name);
            if (!entry || entry->length > log_.size() - run_bytes) break;
            if (!run.empty() && entry->header.sequence_number != run.back().header.sequence_number + 1) break;
            run.push_back(*entry);
            run_bytes += entry->length;
        }
        start += std::max(run_bytes, log_sector_bytes);
        if (run.empty()) continue;
        const LogEntryHeader& head = run.back().header;
        auto tail = std::find_if(run.begin(), run.end(), [&](const Entry& e) { return e.position == head.tail; });
        if (tail == run.end()) continue;
        if (best.empty() || head.sequence_number > best.back().header.sequence_number) best.assign(tail, run.end());
    }
    if (best.empty())
        return fail(EINVAL, "{}: log: log GUID {} says it must be replayed, but it has no valid sequence of entries",
                    place_.file_name, guid_text(place_.log_guid));
    return best;
}

Result<void> LogReader::replay(const Entry& entry, LogOverlay& overlay) {
    uint64_t data = entry.position + data_start(entry), sequence = entry.header.sequence_number;
    for (uint32_t i = 0; i < entry.header.descriptor_count; ++i) {
        LogDescriptor d = descriptor(entry, i);
        bool zero = d.signature == log_zero_signature;
        uint64_t offset = d.file_offset, length = zero ? uint64_t{d.leading_bytes} : log_sector_bytes;
        auto refuse = [&](std::string_view why) {
            return fail(EINVAL, "{}: log entry {}, descriptor {}: writes {} bytes at offset {}, {}",
                        place_.file_name, sequence, i, length, offset, why);
        };
        if (offset % log_sector_bytes != 0 || length % log_sector_bytes != 0) return refuse("not whole 4 KiB sectors");
        if (!range_within(offset, length, overlay.file_bytes_)) return refuse("past the end of the file");
        if (length > 0 && offset < region_table_offsets[0]) return refuse("over the file's headers");
        if (offset < place_.log_offset + log_.size() && place_.log_offset < offset + length)
            return refuse("over the log itself");
        if (overlay.changes_.size() >= changes_max)
            return fail(EINVAL, "{}: log: more than {} changes to replay", place_.file_name, changes_max);
        if (!zero) {
            std::byte* sector = at(data);
            store_le<uint64_t>(sector, d.leading_bytes);
            store_le<uint32_t>(sector + log_sector_bytes - 4, d.trailing_bytes);
        }
        if (length > 0) overlay.insert(offset, length, zero ? LogOverlay::Change::zeros : data % log_.size());
        if (!zero) data += log_sector_bytes;
    }
    return {};
}

Result<LogOverlay> LogOverlay::replay(const Place& place, Bytes log) {
    LogReader reader(place, log);
    auto sequence = TRY(reader.active_sequence());
    const LogEntryHeader& head = sequence.back().header;
    if (head.flushed_file_offset > place.file_bytes)
        return fail(EINVAL, "{}: log entry {}: FlushedFileOffset {}, but the file has {} bytes: it was truncated",
                    place.file_name, uint64_t{head.sequence_number}, uint64_t{head.flushed_file_offset},
                    place.file_bytes);
    LogOverlay overlay;
    overlay.file_bytes_ = std::max<uint64_t>(place.file_bytes, head.last_file_offset);
    overlay.entry_count_ = sequence.size();
    for (const Entry& entry : sequence) TRY(reader.replay(entry, overlay));
    overlay.log_ = std::move(log);
    return overlay;
}

void LogOverlay::insert(uint64_t offset, uint64_t length, uint64_t data_offset) {
    uint64_t end = offset + length;
    auto next = changes_.lower_bound(offset);
    if (next != changes_.begin() && std::prev(next)->first + std::prev(next)->second.length > offset) --next;
    while (next != changes_.end() && next->first < end) {
        auto [start, run] = *next;
        next = changes_.erase(next);
        if (start < offset) changes_[start] = {offset - start, run.data_offset};
        if (start + run.length > end) {
            uint64_t skip = end - start;
            changes_[end] = {run.length - skip, run.data_offset == Change::zeros ? Change::zeros : run.data_offset + skip};
        }
    }
    changes_[offset] = {length, data_offset};
}

LogOverlay::Change LogOverlay::find(uint64_t offset) const {
    auto next = changes_.upper_bound(offset);
    if (next != changes_.begin() && std::prev(next)->first + std::prev(next)->second.length > offset) --next;
    if (next == changes_.end()) return {0, 0, 0};
    return {next->first, next->second.length, next->second.data_offset};
}

void LogOverlay::apply(uint64_t offset, std::span<std::byte> bytes) const {
    uint64_t end = offset + bytes.size();
    for (uint64_t at = offset; at < end;) {
        Change change = find(at);
        if (change.length == 0 || change.offset >= end) return;
        uint64_t from = std::max(at, change.offset), to = std::min(end, change.offset + change.length);
        std::byte* target = bytes.data() + (from - offset);
        if (change.data_offset == Change::zeros)
            std::memset(target, 0, to - from);
        else
            std::memcpy(target, log_.data() + change.data_offset + (from - change.offset), to - from);
        at = to;
    }
}

}  // namespace hyper::vhdx
