// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/data_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>

#include "blockengine/base/log.h"

namespace hyper {

namespace {

constexpr std::array<std::byte, record_alignment> zeros_to_align{};

// A record whose body is a text has its hash before it.
uint64_t text_body_bytes(std::string_view json) { return sizeof(Hash128) + json.size(); }
uint64_t text_record_bytes(std::string_view json) {
    return RecordHead{RecordKind::file, 0, text_body_bytes(json)}.record_bytes();
}

}  // namespace

Result<std::unique_ptr<DataFiles>> DataFiles::open(Io& io, std::string folder, const VolumeId& volume, DataPosition at,
                                                   uint64_t file_bytes_max, bool durable) {
    assert(at.end % record_alignment == 0);
    std::unique_ptr<DataFiles> files(new DataFiles(io, std::move(folder), volume, file_bytes_max));
    files->folder_fd_.reset(::open(files->folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!files->folder_fd_) return fail(errno, "open {}: {}", files->folder_, errno_text(errno));
    if (at.end == 0)
        TRY(files->begin_file(at));
    else
        TRY(files->resume(at, durable));
    return files;
}

Result<void> DataFiles::resume(DataPosition at, bool durable) {
    std::string path = data_file_path(folder_, at.file);
    UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!file) return fail(errno, "open {}: {}", path, errno_text(errno));
    struct stat status;
    if (::fstat(file.get(), &status) != 0) return fail(errno, "stat {}: {}", path, errno_text(errno));
    auto size = static_cast<uint64_t>(status.st_size);

    std::array<std::byte, record_header_bytes> bytes;
    ReadOp read{file.get(), 0, bytes, 0};
    io_.read({&read, 1});
    if (read.error != 0 && size >= bytes.size()) return fail(read.error, "{}: read its header: {}", path, errno_text(read.error));
    auto head = read.error == 0 ? decode_header(bytes) : std::nullopt;
    if (!head || head->kind != RecordKind::file || !record_hash_matches({volume_, at.file, 0}, bytes))
        return fail(EIO, "{}: its first record is not that of file {} of this volume; run hyperctl volume repair", path, at.file);

    if (size < at.end)
        log_warning("{}: ends at {} instead of {}: the last bytes that were written did not reach the disk", path, size, at.end);
    if (size != at.end && ::ftruncate(file.get(), static_cast<off_t>(at.end)) != 0)
        return fail(errno, "{}: set its length to {}: {}", path, at.end, errno_text(errno));
    file_ = std::move(file);
    first_sequence_ = head->sequence;
    position_ = at;
    if (durable) return {};
    // What is there may be in memory only, if it was written by a process that was killed.
    return sync();
}

Result<void> DataFiles::begin_file(DataPosition at) {
    at = {at.file + 1, 0, at.sequence};
    std::string path = data_file_path(folder_, at.file);
    file_.reset(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!file_) return fail(errno, "create {}: {}", path, errno_text(errno));
    first_sequence_ = at.sequence;
    TRY(write_text(at, RecordKind::file, 0, 0, file_record_text(volume_, at.file)));
    TRY(sync_file(at.file));
    if (int error = io_.sync(folder_fd_.get()); error != 0)
        return fail(error, "{}: sync the folder: {}", folder_, errno_text(error));
    position_ = at;
    return {};
}

// The position moves only when the next file is there: whoever opens the old one anew finds no sealed record before it.
Result<void> DataFiles::roll_over() {
    DataPosition at = position_;
    uint64_t records = at.sequence - first_sequence_ + 1;
    TRY(write_text(at, RecordKind::sealed, 0, 0, fmt::format(R"({{"records":{}}})", records)));
    TRY(sync_file(at.file));
    return begin_file(at);
}

Result<void> DataFiles::make_room(uint64_t record_bytes) {
    bool only_begun = position_.sequence == first_sequence_ + 1;
    if (only_begun || range_within(position_.end, record_bytes, file_bytes_max_)) return {};
    return roll_over();
}

Result<void> DataFiles::write(DataPosition& at, RecordHead head, std::span<const BatchEntry> entries,
                              std::span<const std::span<const std::byte>> body) {
    head.sequence = at.sequence;
    auto first = encode_head({volume_, at.file, at.end}, head, entries);
    std::vector<WriteOp> ops;
    ops.reserve(body.size() + 2);
    uint64_t to = at.end;
    auto add = [&](std::span<const std::byte> bytes) {
        if (!bytes.empty()) ops.push_back({file_.get(), to, bytes, 0});
        to += bytes.size();
    };
    add(first);
    for (std::span<const std::byte> part : body) add(part);
    add(std::span(zeros_to_align).first(round_up(to, record_alignment) - to));
    io_.write(ops);
    for (const WriteOp& op : ops)
        if (op.error != 0)
            return fail(op.error, "{}: write {} bytes at offset {}: {}", data_file_path(folder_, at.file), op.buffer.size(),
                        op.offset, errno_text(op.error));
    // So that the disk is busy from now on, and not only when it is all to be durable. That it fails is found by the sync.
    ::sync_file_range(file_.get(), static_cast<off_t>(at.end), static_cast<off_t>(to - at.end), SYNC_FILE_RANGE_WRITE);
    at = {at.file, to, at.sequence + 1};
    return {};
}

Result<void> DataFiles::write_text(DataPosition& at, RecordKind kind, uint32_t generation, uint64_t attempt,
                                   std::string_view json) {
    Hash128 hash = xxh3_128(bytes_of_text(json));
    std::span<const std::byte> body[] = {hash, bytes_of_text(json)};
    return write(at, {kind, 0, text_body_bytes(json), generation, attempt}, {}, body);
}

Result<std::vector<BlockEntry>> DataFiles::append_batch(uint32_t generation, uint64_t attempt,
                                                        std::span<const StoredBlock> blocks) {
    assert(blocks.size() <= batch_blocks_max);
    TRY(usable());
    RecordHead head{RecordKind::batch, static_cast<uint32_t>(blocks.size()), 0, generation, attempt};
    for (const StoredBlock& block : blocks) head.body_bytes += block.bytes.size();
    TRY(kept(make_room(head.record_bytes())));

    std::vector<BatchEntry> entries;
    std::vector<std::span<const std::byte>> body;
    uint64_t to = position_.end + head.body_offset();
    for (const StoredBlock& block : blocks) {
        assert(block.bytes.size() <= stored_block_bytes_max);
        [[maybe_unused]] bool stored = block.codec == BlockCodec::plain || block.codec == BlockCodec::zstd;
        bool in_body = !block.bytes.empty();
        assert(stored ? in_body != (block.place.file != 0) : !in_body && block.place == Place{});
        Place place = in_body ? Place{position_.file, static_cast<uint32_t>(block.bytes.size()), to} : block.place;
        entries.push_back({block.block, {block.codec, place, block.hash}, in_body});
        body.push_back(block.bytes);
        to += block.bytes.size();
    }
    TRY(kept(write(position_, head, entries, body)));
    std::vector<BlockEntry> places;
    for (const BatchEntry& entry : entries) places.push_back(entry.entry);
    return places;
}

Result<void> DataFiles::append_text(RecordKind kind, uint32_t generation, uint64_t attempt, std::string_view json) {
    TRY(usable());
    if (json.size() > record_text_bytes_max)
        return fail(EINVAL, "{}: a record's text has {} bytes, more than {}", folder_, json.size(), record_text_bytes_max);
    TRY(kept(make_room(text_record_bytes(json))));
    return kept(write_text(position_, kind, generation, attempt, json));
}

Result<void> DataFiles::sync() {
    TRY(usable());
    return kept(sync_file(position_.file));
}

Result<void> DataFiles::sync_file(uint32_t number) {
    if (int error = io_.sync(file_.get()); error != 0)
        return fail(error, "{}: sync: {}; what was written since the last one may be lost", data_file_path(folder_, number),
                    errno_text(error));
    return {};
}

Result<void> DataFiles::usable() const {
    if (failed_) return tl::unexpected(*failed_);
    return {};
}

Result<void> DataFiles::kept(Result<void> result) {
    if (!result) failed_ = result.error();
    return result;
}

}  // namespace hyper
