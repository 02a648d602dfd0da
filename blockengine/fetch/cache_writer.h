// SPDX-License-Identifier: Apache-2.0
// Brings fetched blocks into the cache file, aside from who fetches them.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "blockengine/base/bytes.h"
#include "blockengine/fetch/cache_file.h"

namespace hyper {

// Thread-safe. Its thread begins with the first block.
class CacheWriter {
  public:
    // Where the disk is that much behind, blocks are not kept.
    static constexpr size_t queued_bytes_max = 16 * MiB;

    explicit CacheWriter(std::shared_ptr<CacheFile> file) : file_(std::move(file)) {}
    // Writes what is queued.
    ~CacheWriter();

    void put(const CacheFile::Key& key, std::shared_ptr<const Bytes> block);
    // Returns when what is queued now is written.
    void drain();

  private:
    void run();

    struct Queued {
        CacheFile::Key key;
        std::shared_ptr<const Bytes> block;
    };
    const std::shared_ptr<CacheFile> file_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Queued> queue_;      // guarded by mutex_; the first is being written
    size_t queued_bytes_ = 0;       // guarded by mutex_
    bool stopping_ = false;         // guarded by mutex_
    std::thread thread_;            // guarded by mutex_
};

}  // namespace hyper
