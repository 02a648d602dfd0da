// SPDX-License-Identifier: Apache-2.0
#include "carbon/feeds/record_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "blockengine/base/hash.h"
#include "blockengine/volume/small_file.h"

namespace hyper::carbon {
namespace {

constexpr std::string_view magic = "HCFEED1\n";
constexpr size_t length_at = 8, received_at = 12, hash_at = 20, head_bytes = 36;

Hash128 hash_of(std::span<const std::byte> head, std::span<const std::byte> payload) {
    Bytes hashed(head.begin() + length_at, head.begin() + hash_at);
    hashed.insert(hashed.end(), payload.begin(), payload.end());
    return xxh3_128(hashed);
}

void put_record(Bytes& bytes, const FileRecord& record) {
    size_t at = bytes.size();
    bytes.resize(at + head_bytes);
    std::memcpy(bytes.data() + at, magic.data(), magic.size());
    store_le(bytes.data() + at + length_at, static_cast<uint32_t>(record.payload.size()));
    store_le(bytes.data() + at + received_at, static_cast<int64_t>(record.received_at.time_since_epoch().count()));
    Hash128 hash = hash_of(std::span(bytes).subspan(at), record.payload);
    std::memcpy(bytes.data() + at + hash_at, hash.data(), hash.size());
    bytes.insert(bytes.end(), record.payload.begin(), record.payload.end());
}

// The record that begins there.
std::optional<FileRecord> record_at(std::span<const std::byte> bytes) {
    if (bytes.size() < head_bytes || std::memcmp(bytes.data(), magic.data(), magic.size()) != 0) return std::nullopt;
    auto length = load_le<uint32_t>(bytes.data() + length_at);
    if (length > RecordFile::payload_bytes_max || length > bytes.size() - head_bytes) return std::nullopt;
    auto payload = bytes.subspan(head_bytes, length);
    Hash128 hash = hash_of(bytes, payload);
    if (std::memcmp(hash.data(), bytes.data() + hash_at, hash.size()) != 0) return std::nullopt;
    return FileRecord{Instant(Seconds(load_le<int64_t>(bytes.data() + received_at))), Bytes(payload.begin(), payload.end())};
}

}  // namespace

Result<RecordFile> RecordFile::open(const std::string& path) {
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd) return fail(errno, "{}: open: {}", path, errno_text(errno));
    RecordFile file(path, std::move(fd));
    TRY(file.read());
    if (file.size_bytes_ == 0) TRY(sync_folder(path.substr(0, path.rfind('/'))));
    return file;
}

Result<void> RecordFile::read() {
    struct stat status;
    if (::fstat(fd_.get(), &status) != 0) return fail(errno, "{}: {}", path_, errno_text(errno));
    if (static_cast<uint64_t>(status.st_size) > file_bytes_max)
        return fail(EFBIG, "{}: {} bytes, where {} are the most: it is not what was written (remove it)", path_, status.st_size, file_bytes_max);
    Bytes bytes(static_cast<size_t>(status.st_size));
    size_t got = 0;
    while (got < bytes.size()) {
        ssize_t n = ::pread(fd_.get(), bytes.data() + got, bytes.size() - got, static_cast<off_t>(got));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(errno, "{}: read: {}", path_, errno_text(errno));
        if (n == 0) break;
        got += static_cast<size_t>(n);
    }
    bytes.resize(got);
    std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    uint64_t read_bytes = 0;
    for (size_t at = 0; at < bytes.size();) {
        if (auto record = record_at(std::span<const std::byte>(bytes).subspan(at))) {
            at += head_bytes + record->payload.size();
            read_bytes += head_bytes + record->payload.size();
            size_bytes_ = at;
            records_.push_back(std::move(*record));
        } else {
            at = std::min(text.find(magic, at + 1), bytes.size());
        }
    }
    damaged_bytes_ = bytes.size() - read_bytes;
    if (size_bytes_ < bytes.size() && ::ftruncate(fd_.get(), static_cast<off_t>(size_bytes_)) != 0)
        return fail(errno, "{}: truncate: {}", path_, errno_text(errno));
    return {};
}

Result<void> RecordFile::append(const std::vector<FileRecord>& records) {
    Bytes bytes;
    for (const FileRecord& record : records) put_record(bytes, record);
    if (size_bytes_ + bytes.size() > file_bytes_max) return fail(EFBIG, "{}: holds {} bytes already", path_, size_bytes_);
    for (size_t written = 0; written < bytes.size();) {
        ssize_t n = ::pwrite(fd_.get(), bytes.data() + written, bytes.size() - written, static_cast<off_t>(size_bytes_ + written));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(errno, "{}: write: {}", path_, errno_text(errno));
        written += static_cast<size_t>(n);
    }
    if (::fdatasync(fd_.get()) != 0) return fail(errno, "{}: sync: {}", path_, errno_text(errno));
    size_bytes_ += bytes.size();
    return {};
}

Result<void> RecordFile::replace(const std::vector<FileRecord>& records) {
    Bytes bytes;
    for (const FileRecord& record : records) put_record(bytes, record);
    TRY(write_small_file(path_, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())));
    UniqueFd fd(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
    if (!fd) return fail(errno, "{}: open: {}", path_, errno_text(errno));
    fd_ = std::move(fd);
    size_bytes_ = bytes.size();
    return {};
}

}  // namespace hyper::carbon
