// SPDX-License-Identifier: Apache-2.0
// A bounded file on the local disk that keeps blocks of far files, shared by any number of processes, and of no account when lost.
//
// Design note. The file is a header, an index and slots, of a fixed size. The index is mapped into every process. A block's key chooses
// a set of 16 entries, each of which has a slot of 64 KiB at its own place. Nothing is ever locked by readers or synced to disk:
//
//     entry   sequence, key, sum, length, use        sum = XXH3-128 of key, sequence, length and the XXH3-128 of the content
//
// A writer makes the sequence odd, writes the slot, fills in the entry, and makes the sequence even. A reader takes the entry, reads
// the slot, and looks whether the sequence is what it was: whatever raced with it, was torn by a power cut, or was damaged on
// the disk, does not match its sum and is a miss. Once a process has checked a slot at some sequence, parts of it are read without
// the rest for as long as the sequence stays. So damage that the disk does to a block while a process that has checked it runs is
// that of any file.
// Writers keep each other out of a slot by a lock on one byte of the file, which the kernel takes back when one dies; so an
// odd sequence without a lock is left by a dead writer, and anyone's to use.
//
// What goes: blocks are on probation until they are used again some time after they came; then they are protected. New blocks
// replace the oldest on probation, and at most three quarters of a set are protected; so a scan goes through a quarter of the
// cache, and the rest stays.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "blockengine/base/hash.h"
#include "blockengine/base/result.h"
#include "blockengine/base/unique_fd.h"

namespace hyper {

// Thread-safe. A process that forks opens it anew.
class CacheFile {
  public:
    static constexpr uint32_t block_bytes_max = 64 << 10;
    static constexpr uint64_t size_bytes_min = 16 << 20;
    // Uses of a block count as two when they are so far apart.
    static constexpr uint32_t uses_apart_s = 5;

    using Key = Hash128;
    using Clock = uint32_t (*)();  // seconds, the same for all processes

    // Makes the file where there is none. Errors: EINVAL for a file that is something else, of another size, or damaged, EPERM where
    // others than its owner may write it, and what open(2) and fallocate(2) give; with advice.
    static Result<std::shared_ptr<CacheFile>> open(const std::string& path, uint64_t size_bytes, Clock clock = &seconds_now);
    ~CacheFile();
    CacheFile(const CacheFile&) = delete;
    CacheFile& operator=(const CacheFile&) = delete;

    enum class Found { yes, not_now, no };
    // Fills `buffer` with the bytes of a block at `offset`. `not_now` under NoWait (io.h), where the local disk would have to be waited for.
    Found read(const Key& key, uint32_t offset, std::span<std::byte> buffer);
    // Whether it is worth trying.
    bool has(const Key& key) const;
    // Writes to the local disk's cache, which may take long when that is busy. Keeps at most block_bytes_max; may keep nothing. After
    // a failure, as ENOSPC, which is logged once, nothing more is kept.
    void put(const Key& key, std::span<const std::byte> block);

    uint64_t slots() const { return slots_; }

  private:
    struct Entry;
    struct Snapshot;
    static uint32_t seconds_now();

    CacheFile(std::string path, UniqueFd fd, Clock clock);
    Result<void> map(uint64_t size_bytes);
    std::span<Entry> set_of(const Key& key) const;
    uint64_t slot_of(const Entry& entry) const;
    bool read_slot(uint64_t slot, uint32_t offset, std::span<std::byte> buffer, bool& waits) const;
    bool check(const Snapshot& seen, uint64_t slot, std::span<const std::byte> block);
    void used(Entry& entry);
    Entry& victim(std::span<Entry> set) const;
    bool lock(uint64_t slot, bool locked);
    void write(Entry& entry, const Key& key, std::span<const std::byte> block);
    void forget(Entry& entry, const Snapshot& seen);

    const std::string path_;
    const UniqueFd fd_;
    const Clock clock_;
    std::byte* mapped_ = nullptr;
    uint64_t mapped_bytes_ = 0, data_offset_ = 0, slots_ = 0;
    std::unique_ptr<uint32_t[], void (*)(uint32_t*)> checked_;  // the sequence at which this process checked a slot, its low half
    std::mutex writing_;                                       // locks on the file do not keep threads apart
    std::atomic<bool> keeps_ = true;
    std::atomic<bool> damage_told_ = false;
};

}  // namespace hyper
