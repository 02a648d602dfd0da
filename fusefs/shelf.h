// SPDX-License-Identifier: Apache-2.0
// The exports that a mount has opened. Opening a view costs a pass over its disk's extents, so what
// was in use a moment ago is kept ready; what nobody uses is let go, so that a replaced image
// shows.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "catalog/catalog.h"

namespace hyper {

// Immutable, but for a counter.
struct OpenFile {
    std::shared_ptr<const Source> source;
    uint64_t serial;  // never used again: tells whether cached bytes are still this file's
    uint64_t
        allocated_bytes;  // what is not known to be zero; an estimate for disks of many extents
    mutable std::atomic<uint64_t> stored_bytes{0};  // by Neighbours

    OpenFile(std::shared_ptr<const Source> opened, uint64_t its_serial, uint64_t allocated)
        : source(std::move(opened)), serial(its_serial), allocated_bytes(allocated) {}
};

// Thread-safe.
class Shelf {
  public:
    static constexpr size_t kept_max = 64;
    static constexpr std::chrono::seconds kept_for{10};

    // `catalog` must outlive the shelf.
    explicit Shelf(Catalog& catalog) : catalog_(catalog) {}

    // The same object for as long as somebody holds it. Errors: those of Catalog::open_export().
    Result<std::shared_ptr<const OpenFile>> open(const std::string& export_name);

  private:
    using Clock = std::chrono::steady_clock;
    struct Kept {
        Clock::time_point used;
        std::shared_ptr<const OpenFile> file;
    };

    // guarded by mutex_; `dropped` receives what is let go, to be freed without the lock.
    void keep(const std::shared_ptr<const OpenFile>& file, std::list<Kept>& dropped);

    Catalog& catalog_;
    std::mutex mutex_;
    std::unordered_map<std::string, std::weak_ptr<const OpenFile>> files_;  // guarded by mutex_
    std::list<Kept> kept_;      // guarded by mutex_; newest first
    uint64_t next_serial_ = 1;  // guarded by mutex_
};

}  // namespace hyper
