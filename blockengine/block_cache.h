// SPDX-License-Identifier: Apache-2.0
// Recently used blocks of bytes: tables of images, and units that were unpacked.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "blockengine/base/bytes.h"
#include "blockengine/base/result.h"
#include "blockengine/file.h"

namespace hyper {


// The key offset of the unit that is stored compressed at `offset`.
inline uint64_t unpacked_key(uint64_t offset) { return offset | uint64_t{1} << 63; }

// Thread-safe. Bounded in bytes; the least recently used goes first.
class BlockCache {
  public:
    explicit BlockCache(size_t bytes_max) : shard_bytes_max_(bytes_max / shard_count) {}

    // `file_id` is File::id(). One (file, offset) always means the same bytes; what is not plainly the bytes at
    // that offset (an unpacked unit) says so by the offset's top bit, see unpacked_key().
    std::shared_ptr<const Bytes> get(uint64_t file_id, uint64_t offset);
    void put(uint64_t file_id, uint64_t offset, std::shared_ptr<const Bytes> block);

    // [offset, offset + length) of `file`, from the cache or read now. Errors as File::read.
    Result<std::shared_ptr<const Bytes>> read(const File& file, uint64_t offset, size_t length);

  private:
    struct Key {
        uint64_t file_id, offset;
        bool operator==(const Key&) const = default;
    };
    struct KeyHash {
        size_t operator()(const Key& key) const {
            return (key.file_id * 0x9e3779b97f4a7c15u) ^ (key.offset * 0xff51afd7ed558ccdu >> 17);
        }
    };
    struct Entry {
        Key key;
        std::shared_ptr<const Bytes> block;
    };
    struct Shard {
        std::mutex mutex;
        std::list<Entry> recent;  // guarded by mutex; newest first
        std::unordered_map<Key, std::list<Entry>::iterator, KeyHash> index;  // guarded by mutex
        size_t bytes = 0;  // guarded by mutex
    };
    static constexpr size_t shard_count = 8;

    Shard& shard_of(const Key& key) { return shards_[(KeyHash()(key) >> 7) % shard_count]; }

    size_t shard_bytes_max_;
    Shard shards_[shard_count];
};

}  // namespace hyper
