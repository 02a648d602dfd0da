// SPDX-License-Identifier: Apache-2.0
// What all far files of a process share: memory for blocks, the bytes that may be under way, and the cache on the local disk.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "blockengine/block_cache.h"
#include "blockengine/fetch/cache_file.h"
#include "blockengine/fetch/cache_writer.h"

namespace hyper {

// Thread-safe. Far files take memory_bytes for blocks, in_flight_bytes_max for answers under way (and one request for each file
// beyond that), and CacheWriter::queued_bytes_max, however many they are.
struct FetchShare {
    static constexpr size_t memory_bytes = 64 * MiB;
    static constexpr uint64_t in_flight_bytes_max = 64 * MiB;

    explicit FetchShare(std::shared_ptr<CacheFile> cache_file = nullptr, size_t memory_bytes_max = memory_bytes);

    BlockCache memory;
    std::atomic<uint64_t> in_flight_bytes = 0;
    const std::shared_ptr<CacheFile> cache;   // nullptr: none
    const std::unique_ptr<CacheWriter> writer;  // nullptr without a cache
};

// The share of this process: made at the first call, with the cache that use_cache() named before, or with what the environment
// variable HYPER_CACHE says (PATH:SIZE, as /var/cache/hyper/blocks:10G). Where a cache cannot be used the log says why, and there is
// none. To be called first after a fork.
std::shared_ptr<FetchShare> process_share();

struct CacheWish {
    std::string path;
    uint64_t size_bytes;
};
// Errors: EINVAL for what is not PATH:SIZE; a size is a number of bytes, or of K, M, G or T.
Result<CacheWish> parse_cache_wish(const std::string& text);
void use_cache(CacheWish wish);

}  // namespace hyper
