// SPDX-License-Identifier: Apache-2.0
#include "blockengine/fetch/cache_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <vector>

#include "blockengine/base/bytes.h"
#include "blockengine/base/log.h"
#include "blockengine/io.h"

// ThreadSanitizer knows nothing of fences; those here stand between accesses that are atomic by themselves.
#ifdef __SANITIZE_THREAD__
#pragma GCC diagnostic ignored "-Wtsan"
#endif

namespace hyper {

namespace {

constexpr size_t ways = 16, protected_max = 12;
constexpr uint64_t header_bytes = 4096;

struct Header {
    char magic[8];
    le32 version, slot_bytes;
    le64 size_bytes, sets;
    Hash128 hash;  // XXH3-128 of what stands before
};
static_assert(sizeof(Header) == 48);
// How often blocks were used: what "oldest" is measured by. Behind the header, in its page.
constexpr size_t counter_offset = 64;

uint64_t sets_in(uint64_t size_bytes) {
    constexpr uint64_t set_bytes = ways * (CacheFile::block_bytes_max + 64);
    return (size_bytes - header_bytes - CacheFile::block_bytes_max) / set_bytes;
}

Header header_for(uint64_t size_bytes) {
    Header header{{'h', 'y', 'p', 'e', 'r', 'c', 'c', 'h'}, 1, CacheFile::block_bytes_max, size_bytes, sets_in(size_bytes), {}};
    header.hash = xxh3_128(bytes_of(header).first(offsetof(Header, hash)));
    return header;
}

template <class T>
T load(const T& word) {
    return std::atomic_ref(const_cast<T&>(word)).load(std::memory_order_relaxed);
}
template <class T>
void store(T& word, T value) {
    std::atomic_ref(word).store(value, std::memory_order_relaxed);
}

uint64_t word_of(const Hash128& hash, size_t nth) { return load_le<uint64_t>(hash.data() + 8 * nth); }

Result<void> make_file(const std::string& path, uint64_t size_bytes) {
    std::string fresh = fmt::format("{}.new-{}", path, ::getpid());
    UniqueFd fd(::open(fresh.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
    if (!fd) return fail(errno, "cache {}: create: {}", path, errno_text(errno));
    Header header = header_for(size_bytes);
    uint64_t index_bytes = header.sets * ways * 64;
    // What is mapped must have its place on the disk: there is no other way to hear that it has none.
    int error = ::posix_fallocate(fd.get(), 0, static_cast<off_t>(header_bytes + index_bytes));
    bool made = error == 0 && ::pwrite(fd.get(), &header, sizeof header, 0) == sizeof header &&
                ::ftruncate(fd.get(), static_cast<off_t>(size_bytes)) == 0 && ::fsync(fd.get()) == 0 &&
                (::link(fresh.c_str(), path.c_str()) == 0 || errno == EEXIST);
    if (error == 0) error = errno;
    ::unlink(fresh.c_str());
    if (!made) return fail(error, "cache {}: create it with {} bytes: {}", path, size_bytes, errno_text(error));
    return {};
}

Result<void> check_file(const std::string& path, int fd, uint64_t size_bytes) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) return fail(errno, "cache {}: stat: {}", path, errno_text(errno));
    if (!S_ISREG(status.st_mode)) return fail(EINVAL, "cache {}: not a file", path);
    if (status.st_uid != ::geteuid() || (status.st_mode & 022) != 0)
        return fail(EPERM, "cache {}: belongs to user {} and has mode {:o}: it has to be ours, and written by nobody else", path,
                    status.st_uid, status.st_mode & 0777);
    Header found{};
    Header wanted = header_for(size_bytes);
    bool read = ::pread(fd, &found, sizeof found, 0) == sizeof found;
    bool whole = read && std::ranges::equal(found.magic, wanted.magic) &&
                 found.hash == xxh3_128(bytes_of(found).first(offsetof(Header, hash)));
    if (!whole) return fail(EINVAL, "cache {}: this is no cache, or it is damaged: name another file, or remove this one", path);
    if (found.size_bytes != wanted.size_bytes || found.hash != wanted.hash)
        return fail(EINVAL, "cache {}: made for {} bytes, version {}, and {} bytes are wanted: remove it, or ask for that size", path,
                    uint64_t{found.size_bytes}, uint32_t{found.version}, size_bytes);
    if (static_cast<uint64_t>(status.st_size) != size_bytes)
        return fail(EINVAL, "cache {}: {} bytes long instead of {}: remove it", path, status.st_size, size_bytes);
    return {};
}

}  // namespace

// Words, since they are read and written by several processes at once. All 0: never used.
struct CacheFile::Entry {
    uint64_t sequence;  // odd while it is written
    uint64_t key[2];
    uint64_t sum[2];
    uint64_t length;   // 0: nothing
    uint32_t order;    // of the last use
    uint32_t uses;     // 0: on probation
    uint32_t came_s;
    uint32_t reserved;
};

struct CacheFile::Snapshot {
    uint64_t sequence = 0, key[2] = {}, sum[2] = {}, length = 0;

    static Snapshot of(const Entry& entry) {
        Snapshot seen;
        seen.sequence = std::atomic_ref(const_cast<uint64_t&>(entry.sequence)).load(std::memory_order_acquire);
        for (int i : {0, 1}) {
            seen.key[i] = load(entry.key[i]);
            seen.sum[i] = load(entry.sum[i]);
        }
        seen.length = load(entry.length);
        if ((seen.sequence & 1) != 0 || !still(entry, seen.sequence)) seen.length = 0;
        return seen;
    }
    static bool still(const Entry& entry, uint64_t sequence) {
        std::atomic_thread_fence(std::memory_order_acquire);
        return load(entry.sequence) == sequence;
    }
    Hash128 sum_of(std::span<const std::byte> block) const {
        struct {
            uint64_t key[2], sequence, length;
            Hash128 content;
        } parts{{key[0], key[1]}, sequence, length, xxh3_128(block)};
        return xxh3_128(bytes_of(parts));
    }
};

uint32_t CacheFile::seconds_now() {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return static_cast<uint32_t>(now.tv_sec);
}

CacheFile::CacheFile(std::string path, UniqueFd fd, Clock clock)
    : path_(std::move(path)), fd_(std::move(fd)), clock_(clock), checked_(nullptr, [](uint32_t*) {}) {}

CacheFile::~CacheFile() {
    if (mapped_ != nullptr) ::munmap(mapped_, mapped_bytes_);
    if (checked_) ::munmap(checked_.get(), slots_ * sizeof(uint32_t));
}

Result<std::shared_ptr<CacheFile>> CacheFile::open(const std::string& path, uint64_t size_bytes, Clock clock) {
    if (size_bytes < size_bytes_min)
        return fail(EINVAL, "cache {}: {} bytes are too few: at least {}", path, size_bytes, size_bytes_min);
    constexpr int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    UniqueFd fd(::open(path.c_str(), flags));
    if (!fd && errno == ENOENT) {
        TRY(make_file(path, size_bytes));
        fd.reset(::open(path.c_str(), flags));
    }
    if (!fd) return fail(errno, "cache {}: open: {}", path, errno_text(errno));
    TRY(check_file(path, fd.get(), size_bytes));
    std::shared_ptr<CacheFile> cache(new CacheFile(path, std::move(fd), clock));
    TRY(cache->map(size_bytes));
    return cache;
}

Result<void> CacheFile::map(uint64_t size_bytes) {
    static_assert(sizeof(Entry) == 64);
    slots_ = sets_in(size_bytes) * ways;
    mapped_bytes_ = header_bytes + slots_ * sizeof(Entry);
    data_offset_ = round_up(mapped_bytes_, header_bytes);
    void* index = ::mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
    if (index == MAP_FAILED) return fail(errno, "cache {}: map its index of {} bytes: {}", path_, mapped_bytes_, errno_text(errno));
    mapped_ = static_cast<std::byte*>(index);
    // Takes memory where it is used.
    void* table = ::mmap(nullptr, slots_ * sizeof(uint32_t), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table == MAP_FAILED) return fail(errno, "cache {}: memory for {} slots: {}", path_, slots_, errno_text(errno));
    checked_.reset(static_cast<uint32_t*>(table));
    return {};
}

std::span<CacheFile::Entry> CacheFile::set_of(const Key& key) const {
    uint64_t set = word_of(key, 0) % (slots_ / ways);
    return {reinterpret_cast<Entry*>(mapped_ + header_bytes) + set * ways, ways};
}

uint64_t CacheFile::slot_of(const Entry& entry) const {
    return static_cast<uint64_t>(&entry - reinterpret_cast<const Entry*>(mapped_ + header_bytes));
}

// Reading.

bool CacheFile::has(const Key& key) const {
    return std::ranges::any_of(set_of(key), [&](const Entry& entry) {
        return load(entry.key[0]) == word_of(key, 0) && load(entry.key[1]) == word_of(key, 1) && Snapshot::of(entry).length > 0;
    });
}

CacheFile::Found CacheFile::read(const Key& key, uint32_t offset, std::span<std::byte> buffer) {
    for (Entry& entry : set_of(key)) {
        if (load(entry.key[0]) != word_of(key, 0) || load(entry.key[1]) != word_of(key, 1)) continue;
        Snapshot seen = Snapshot::of(entry);
        if (seen.key[0] != word_of(key, 0) || seen.key[1] != word_of(key, 1) || seen.length > block_bytes_max ||
            !range_within(offset, buffer.size(), seen.length))
            continue;
        uint64_t slot = slot_of(entry);
        bool waits = false;
        if (load(checked_[slot]) == static_cast<uint32_t>(seen.sequence)) {
            bool read = read_slot(slot, offset, buffer, waits);
            if (waits) return Found::not_now;
            if (!read || !Snapshot::still(entry, seen.sequence)) continue;
        } else {
            thread_local std::vector<std::byte> room(block_bytes_max);
            std::span<std::byte> block(room.data(), seen.length);
            bool read = read_slot(slot, 0, block, waits);
            if (waits) return Found::not_now;
            if (!read || !Snapshot::still(entry, seen.sequence)) continue;
            if (!check(seen, slot, block)) {
                forget(entry, seen);
                continue;
            }
            std::ranges::copy(block.subspan(offset, buffer.size()), buffer.begin());
        }
        used(entry);
        return Found::yes;
    }
    return Found::no;
}

bool CacheFile::read_slot(uint64_t slot, uint32_t offset, std::span<std::byte> buffer, bool& waits) const {
    iovec piece{buffer.data(), buffer.size()};
    auto at = static_cast<off_t>(data_offset_ + slot * block_bytes_max + offset);
    ssize_t got;
    do {
        got = ::preadv2(fd_.get(), &piece, 1, at, no_wait_asked() ? RWF_NOWAIT : 0);
    } while (got < 0 && errno == EINTR);
    bool whole = got == static_cast<ssize_t>(buffer.size());
    waits = !whole && no_wait_asked();
    return whole;
}

// Whether the block is what was stored; then parts of it can be read alone.
bool CacheFile::check(const Snapshot& seen, uint64_t slot, std::span<const std::byte> block) {
    Hash128 sum = seen.sum_of(block);
    if (word_of(sum, 0) != seen.sum[0] || word_of(sum, 1) != seen.sum[1]) return false;
    store(checked_[slot], static_cast<uint32_t>(seen.sequence));
    return true;
}

void CacheFile::used(Entry& entry) {
    uint32_t now = load(*reinterpret_cast<uint32_t*>(mapped_ + counter_offset));
    if (load(entry.order) != now) store(entry.order, now);
    if (load(entry.uses) == 0 && clock_() - load(entry.came_s) >= uses_apart_s) store(entry.uses, 1u);
}

// Writing.

// Takes or gives back the right to write a slot: a lock on a byte of the file. False where another process has it.
bool CacheFile::lock(uint64_t slot, bool locked) {
    struct flock range {};
    range.l_type = locked ? F_WRLCK : F_UNLCK;
    range.l_whence = SEEK_SET;
    range.l_start = static_cast<off_t>(slot);
    range.l_len = 1;
    return ::fcntl(fd_.get(), F_OFD_SETLK, &range) == 0;
}

// Where a new block goes: an unused place, or that of the block which is worth least.
CacheFile::Entry& CacheFile::victim(std::span<Entry> set) const {
    auto unused = [](const Entry& entry) { return (load(entry.sequence) & 1) != 0 || load(entry.length) == 0; };
    if (auto free = std::ranges::find_if(set, unused); free != set.end()) return *free;
    auto is_protected = [](const Entry& entry) { return load(entry.uses) > 0; };
    bool enough = std::ranges::count_if(set, is_protected) <= static_cast<ptrdiff_t>(protected_max);
    // The order is as of a counter that goes round.
    uint32_t now = load(*reinterpret_cast<const uint32_t*>(mapped_ + counter_offset));
    Entry* oldest = nullptr;
    for (Entry& entry : set) {
        if (is_protected(entry) == enough) continue;
        if (oldest == nullptr || now - load(entry.order) > now - load(oldest->order)) oldest = &entry;
    }
    return oldest != nullptr ? *oldest : set.front();  // others may have changed what it is about meanwhile
}

void CacheFile::put(const Key& key, std::span<const std::byte> block) {
    if (!keeps_ || block.empty() || block.size() > block_bytes_max || has(key)) return;
    std::lock_guard hold(writing_);
    Entry& entry = victim(set_of(key));
    uint64_t slot = slot_of(entry);
    if (!lock(slot, true)) return;
    write(entry, key, block);
    lock(slot, false);
}

void CacheFile::write(Entry& entry, const Key& key, std::span<const std::byte> block) {
    uint64_t before = load(entry.sequence);
    uint64_t writing = (before & 1) != 0 ? before + 2 : before + 1;
    store(entry.sequence, writing);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    auto at = static_cast<off_t>(data_offset_ + slot_of(entry) * block_bytes_max);
    ssize_t written = ::pwrite(fd_.get(), block.data(), block.size(), at);
    bool whole = written == static_cast<ssize_t>(block.size());
    if (!whole && keeps_.exchange(false))
        log_warning("cache {}: write {} bytes: {}: nothing more is kept there by this process", path_, block.size(),
                    errno_text(written < 0 ? errno : ENOSPC));
    Snapshot made{writing + 1, {word_of(key, 0), word_of(key, 1)}, {}, whole ? block.size() : 0};
    Hash128 sum = made.sum_of(block);
    for (size_t i : {0, 1}) {
        store(entry.key[i], made.key[i]);
        store(entry.sum[i], word_of(sum, i));
    }
    store(entry.length, made.length);
    store(entry.order, std::atomic_ref(*reinterpret_cast<uint32_t*>(mapped_ + counter_offset)).fetch_add(1) + 1);
    store(entry.uses, 0u);
    store(entry.came_s, clock_());
    std::atomic_ref(entry.sequence).store(writing + 1, std::memory_order_release);
}

// A block that is not what was stored.
void CacheFile::forget(Entry& entry, const Snapshot& seen) {
    if (!damage_told_.exchange(true))
        log_warning("cache {}: the block at offset {} is damaged, as after a power cut: it is fetched again", path_,
                    data_offset_ + slot_of(entry) * block_bytes_max);
    std::lock_guard hold(writing_);
    if (!lock(slot_of(entry), true)) return;
    if (Snapshot::still(entry, seen.sequence)) {
        store(entry.sequence, seen.sequence + 1);
        store(entry.length, uint64_t{0});
        std::atomic_ref(entry.sequence).store(seen.sequence + 2, std::memory_order_release);
    }
    lock(slot_of(entry), false);
}

}  // namespace hyper
