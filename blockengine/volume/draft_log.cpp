// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/draft_log.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <vector>

#include "blockengine/base/bytes.h"
#include "blockengine/base/hash.h"
#include "blockengine/base/log.h"

namespace hyper {

namespace {

constexpr uint64_t record_magic = 0x7061'6d64'7270'7968;  // "hyprdmap"
constexpr uint32_t format_version = 1;

struct RecordHeader {
    le64 magic;
    le32 version;
    le32 body_bytes;
    le64 sequence;
    std::byte reserved[8];
    std::byte draft[16];
    std::byte hash[16];  // of the header, with zeros here, and the body
};
static_assert(sizeof(RecordHeader) == 64);

// The body of record 0.
struct IdentityBody {
    std::byte volume[16];
    le64 size_bytes;
    le32 base_generation;
    le32 sector_bytes;
};
static_assert(sizeof(IdentityBody) == 32);

// The bodies of the others are made of these.
struct Entry {
    le64 first;
    le32 count;
    std::byte state;
    std::byte reserved[3];
};
static_assert(sizeof(Entry) == 16);

// Twice what a flush can have, since a run that is too long for one entry takes several.
constexpr uint64_t body_bytes_max = 2 * DraftMap::changes_max * sizeof(Entry);
// Of the records of a map that is written as a whole.
constexpr size_t entries_a_record = 4096;

void append_entries(const SectorRun& run, std::vector<std::byte>& body) {
    for (uint64_t done = 0; done < run.count;) {
        uint64_t count = std::min<uint64_t>(run.count - done, UINT32_MAX);
        Entry entry{run.first + done, static_cast<uint32_t>(count), static_cast<std::byte>(run.state), {}};
        auto bytes = bytes_of(entry);
        body.insert(body.end(), bytes.begin(), bytes.end());
        done += count;
    }
}

Hash128 hash_of(RecordHeader header, std::span<const std::byte> body) {
    std::ranges::fill(header.hash, std::byte{0});
    std::vector<std::byte> all(sizeof header + body.size());
    std::memcpy(all.data(), &header, sizeof header);
    std::ranges::copy(body, all.begin() + sizeof header);
    return xxh3_128(all);
}

}  // namespace

Result<std::shared_ptr<const File>> DraftLog::open_file(const std::string& path, int flags) const {
    int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | flags, 0600);
    if (fd < 0) return fail(errno, "open {}: {}", path, errno_text(errno));
    return File::adopt(fd, path, io_);
}

Result<std::unique_ptr<DraftLog>> DraftLog::open(const std::string& folder, const DraftIdentity& identity, Io& io,
                                                 DraftMap& map) {
    UniqueFd folder_fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder_fd) return fail(errno, "open {}: {}", folder, errno_text(errno));
    std::unique_ptr<DraftLog> log(new DraftLog(folder, std::move(folder_fd), identity, io));
    auto file = log->open_file(log->path(), 0);
    if (file) {
        log->file_ = *file;
        TRY(log->replay(map));
    } else if (file.error().code != ENOENT) {
        return tl::unexpected(file.error());
    } else if (::getrandom(log->id_.data(), log->id_.size(), 0) != static_cast<ssize_t>(log->id_.size())) {
        return fail(errno, "{}: an id for it: {}", folder, errno_text(errno));
    }
    return log;
}

// Reading it back.

Result<void> DraftLog::replay(DraftMap& map) {
    std::vector<std::byte> body;
    RecordHeader header;
    if (file_->size_bytes() < sizeof header) return fail(EIO, "{}: has no header; the draft cannot be continued", path());
    TRY(file_->read(0, bytes_of(header)));
    std::ranges::copy(header.draft, id_.begin());
    if (!TRY(read_record(0, 0, false, body)) || body.size() != sizeof(IdentityBody))
        return fail(EIO, "{}: its header is damaged; the draft cannot be continued", path());
    TRY(check_header(body));
    do {
        if (sequence_ > 0) TRY(apply(body, map));
        size_bytes_ += sizeof(RecordHeader) + body.size();
        ++sequence_;
    } while (TRY(read_record(size_bytes_, sequence_, false, body)));
    if (size_bytes_ < file_->size_bytes()) {
        if (TRY(anything_after(size_bytes_, sequence_)))
            return fail(EIO, "{}: the record at offset {} is damaged, and others follow: writes that were flushed are lost",
                        path(), size_bytes_);
        log_warning("{}: {} bytes of an unfinished flush are dropped", path(), file_->size_bytes() - size_bytes_);
        if (::ftruncate(fd(), static_cast<off_t>(size_bytes_)) != 0)
            return fail(errno, "{}: cut it to {} bytes: {}", path(), size_bytes_, errno_text(errno));
    }
    // What it says already is no change.
    map.take_changes();
    bulky_bytes_ = std::max(bulky_bytes_min, size_bytes_);
    return {};
}

Result<bool> DraftLog::read_record(uint64_t offset, uint64_t sequence, bool later, std::vector<std::byte>& body) const {
    RecordHeader header;
    uint64_t size = file_->size_bytes();
    if (!range_within(offset, sizeof header, size)) return false;
    TRY(file_->read(offset, bytes_of(header)));
    if (header.magic != record_magic || (later ? header.sequence <= sequence : header.sequence != sequence) ||
        !std::ranges::equal(header.draft, id_))
        return false;
    uint32_t bytes = header.body_bytes;
    if (bytes > body_bytes_max || !range_within(offset + sizeof header, bytes, size)) return false;
    body.resize(bytes);
    TRY(file_->read(offset + sizeof header, body));
    if (!std::ranges::equal(hash_of(header, body), header.hash)) return false;
    if (header.version != format_version)
        return fail(EIO, "{}: format version {} is not {}; was it made by a newer release?", path(),
                    uint32_t{header.version}, format_version);
    return true;
}

Result<bool> DraftLog::anything_after(uint64_t offset, uint64_t sequence) const {
    constexpr uint64_t step = 16;  // records are of multiples of this
    std::vector<std::byte> window(MiB), body;
    for (uint64_t size = file_->size_bytes(); offset < size; offset += window.size()) {
        window.resize(std::min<uint64_t>(MiB, size - offset));
        TRY(file_->read(offset, window));
        for (uint64_t at = 0; at + sizeof(uint64_t) <= window.size(); at += step)
            if (load_le<uint64_t>(&window[at]) == record_magic && TRY(read_record(offset + at, sequence, true, body)))
                return true;
    }
    return false;
}

Result<void> DraftLog::check_header(std::span<const std::byte> body) const {
    IdentityBody found;
    std::memcpy(&found, body.data(), sizeof found);
    if (!std::ranges::equal(found.volume, identity_.volume))
        return fail(EINVAL, "{}: is of another volume; was the folder copied here?", path());
    if (found.base_generation != identity_.base_generation)
        return fail(EINVAL, "{}: was begun on generation {}, and is not for generation {}; commit or discard it first", path(),
                    uint32_t{found.base_generation}, identity_.base_generation);
    if (found.size_bytes != identity_.size_bytes || found.sector_bytes != draft_sector_bytes)
        return fail(EINVAL, "{}: is for a disk of {} bytes with sectors of {}, and this one has {} with {}", path(),
                    uint64_t{found.size_bytes}, uint32_t{found.sector_bytes}, identity_.size_bytes, draft_sector_bytes);
    return {};
}

Result<void> DraftLog::apply(std::span<const std::byte> entries, DraftMap& map) const {
    for (; entries.size() >= sizeof(Entry); entries = entries.subspan(sizeof(Entry))) {
        Entry entry;
        std::memcpy(&entry, entries.data(), sizeof entry);
        auto state = static_cast<SectorState>(entry.state);
        if (entry.count == 0 || !range_within(entry.first, entry.count, map.sectors()) ||
            (state != SectorState::data && state != SectorState::zero))
            return fail(EIO, "{}: record {}: {} sectors from {} with state {} make no sense on a disk of {}", path(), sequence_,
                        uint32_t{entry.count}, uint64_t{entry.first}, static_cast<unsigned>(entry.state), map.sectors());
        map.mark(entry.first, entry.count, state);
    }
    if (!entries.empty()) return fail(EIO, "{}: record {}: {} bytes are left over", path(), sequence_, entries.size());
    return {};
}

// Writing it.

Result<void> DraftLog::write_record(int fd, uint64_t offset, uint64_t sequence, std::span<const std::byte> body,
                                    const std::string& path) const {
    RecordHeader header{record_magic, format_version, static_cast<uint32_t>(body.size()), sequence, {}, {}, {}};
    std::ranges::copy(id_, header.draft);
    std::ranges::copy(hash_of(header, body), header.hash);
    std::vector<std::byte> bytes(sizeof header + body.size());
    std::memcpy(bytes.data(), &header, sizeof header);
    std::ranges::copy(body, bytes.begin() + sizeof header);
    WriteOp op{fd, offset, bytes, 0};
    io_.write({&op, 1});
    if (op.error != 0)
        return fail(op.error, "{}: write {} bytes at offset {}: {}", path, bytes.size(), offset, errno_text(op.error));
    return {};
}

Result<void> DraftLog::append(std::span<const SectorRun> changes) {
    std::vector<std::byte> body;
    for (const SectorRun& run : changes) append_entries(run, body);
    auto done = write_record(fd(), size_bytes_, sequence_, body, path());
    if (!done) {
        // A part of it may be there. Should this fail too, the next record overwrites it.
        [[maybe_unused]] int ignored = ::ftruncate(fd(), static_cast<off_t>(size_bytes_));
        return done;
    }
    size_bytes_ += sizeof(RecordHeader) + body.size();
    ++sequence_;
    return {};
}

Result<void> DraftLog::write_new(const DraftMap& map) {
    new_file_ = TRY(open_file(new_path(), O_CREAT | O_TRUNC));
    new_size_bytes_ = new_sequence_ = 0;
    auto put = [&](std::span<const std::byte> body) -> Result<void> {
        TRY(write_record(new_fd(), new_size_bytes_, new_sequence_, body, new_path()));
        new_size_bytes_ += sizeof(RecordHeader) + body.size();
        ++new_sequence_;
        return {};
    };
    IdentityBody identity{{}, identity_.size_bytes, identity_.base_generation, draft_sector_bytes};
    std::ranges::copy(identity_.volume, identity.volume);
    TRY(put(bytes_of(identity)));
    std::vector<std::byte> body;
    Result<void> result;
    map.visit_changed([&](const SectorRun& run) {
        append_entries(run, body);
        if (body.size() < entries_a_record * sizeof(Entry)) return true;
        result = put(body);
        body.clear();
        return result.has_value();
    });
    if (result && !body.empty()) result = put(body);
    return result;
}

Result<void> DraftLog::take_new() {
    if (::rename(new_path().c_str(), path().c_str()) != 0)
        return fail(errno, "rename {} to {}: {}", new_path(), path(), errno_text(errno));
    file_ = std::move(new_file_);
    size_bytes_ = new_size_bytes_;
    sequence_ = new_sequence_;
    bulky_bytes_ = std::max(bulky_bytes_min, 4 * size_bytes_);
    return {};
}

void DraftLog::drop_new() {
    new_file_ = nullptr;
    ::unlink(new_path().c_str());
    bulky_bytes_ = 2 * size_bytes_;
}

Result<void> DraftLog::remove() {
    if (::unlink(path().c_str()) != 0 && errno != ENOENT)
        return fail(errno, "remove {}: {}", path(), errno_text(errno));
    return {};
}

}  // namespace hyper
