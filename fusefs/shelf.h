// SPDX-License-Identifier: Apache-2.0
// The exports that a mount has opened. Opening a view costs a pass over its disk's extents, so what
// was opened a moment ago is kept ready; then it is let go but for those who have it open, so that a replaced image
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
#include "catalog/writable_disks.h"

namespace hyper {

// Immutable, but for a counter.
struct OpenFile {
    std::shared_ptr<const Source> source;
    std::shared_ptr<WritableDisk> writable;  // that `source` reads; nullptr: read-only
    uint64_t serial;  // never used again: tells whether cached bytes are still this file's
    uint64_t
        allocated_bytes;  // what is not known to be zero; an estimate for disks of many extents
    mutable std::atomic<uint64_t> stored_bytes{0};  // by Neighbours

    OpenFile(std::shared_ptr<const Source> opened, std::shared_ptr<WritableDisk> disk, uint64_t its_serial,
             uint64_t allocated)
        : source(std::move(opened)),
          writable(std::move(disk)),
          serial(its_serial),
          allocated_bytes(allocated) {}
};

// Thread-safe.
class Shelf {
  public:
    static constexpr size_t kept_max = 64;
    static constexpr std::chrono::seconds kept_for{10};

    // `catalog` must outlive the shelf, and so must `writable`, which is nullptr for a mount that is only read.
    explicit Shelf(Catalog& catalog, WritableDisks* writable = nullptr) : catalog_(catalog), writable_(writable) {}

    // Whether the name can be opened for writing.
    Result<bool> writes(const std::string& export_name) const { return writable_ != nullptr ? writable_->writes(export_name) : Result<bool>(false); }
    // That somebody has open for writing; nullptr for none.
    std::shared_ptr<const OpenFile> held_for_writing(const std::string& export_name);
    // For a name of that kind: the same object for as long as somebody holds it, and not longer, so that a draft is closed when its
    // last user closes the file. Errors: those of WritableDisks::open().
    Result<std::shared_ptr<const OpenFile>> open_for_writing(const std::string& export_name);

    // The same object for as long as somebody holds it, which the shelf does for a while. Errors: those of Catalog::open_export().
    Result<std::shared_ptr<const OpenFile>> open(const std::string& export_name);

  private:
    using Clock = std::chrono::steady_clock;
    struct Kept {
        Clock::time_point since;
        std::shared_ptr<const OpenFile> file;
    };

    using Files = std::unordered_map<std::string, std::weak_ptr<const OpenFile>>;

    // What is made of it, or what another thread has put there first. guarded by mutex_
    std::shared_ptr<const OpenFile> put(Files& files, const std::string& export_name, std::shared_ptr<const Source> source,
                                        std::shared_ptr<WritableDisk> disk, uint64_t allocated_bytes);
    // Lets go what was kept for long enough.
    void let_go();
    // guarded by mutex_; `dropped` receives what is let go, to be freed without the lock.
    void keep(const std::shared_ptr<const OpenFile>& file, std::list<Kept>& dropped);

    Catalog& catalog_;
    WritableDisks* const writable_;
    std::mutex mutex_;
    Files files_, written_;     // guarded by mutex_; for reading, and for writing
    std::list<Kept> kept_;      // guarded by mutex_; newest first
    uint64_t next_serial_ = 1;  // guarded by mutex_
};

}  // namespace hyper
