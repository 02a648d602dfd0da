// SPDX-License-Identifier: Apache-2.0
// What lies around a small read, put into the kernel's page cache before anybody asks. A request
// costs about 20 us of two processes' time whatever its size, and storing a whole window not much
// more, so from the second read of a window on this is a gain.
//
// Design note. A store waits for pages that a reader has locked until its own request is answered,
// so it must never keep a thread that answers requests: it has a thread of its own, and that thread
// ends while others still serve (stop()). A process that is killed while its store waits like this
// lingers until `umount -f`. Stores are a help only, so whatever is in the way drops them: a window
// that is not in memory, another window under way, a file that has had its share.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <semaphore>
#include <span>
#include <thread>

#include "blockengine/base/bytes.h"
#include "blockengine/engine.h"
#include "fusefs/shelf.h"

namespace hyper {

// Thread-safe.
class Neighbours {
  public:
    // A read up to this size is small. The kernel reads larger ones ahead by itself.
    static constexpr size_t small_read_bytes_max = 16 * KiB;
    // As much as Linux reads around a page fault.
    static constexpr uint64_t window_bytes = 128 * KiB;

    // Puts bytes into the kernel's cache of a file.
    using Store =
        std::function<void(uint64_t inode, uint64_t offset, std::span<const std::byte> bytes)>;

    // `engine` must outlive it.
    Neighbours(Engine& engine, Store store);
    ~Neighbours();

    // Wants the window that holds `offset` stored; returns at once.
    void want(uint64_t inode, const std::shared_ptr<const OpenFile>& file, uint64_t offset);
    // Ends the thread. `meanwhile` is called again and again until it has ended, to answer the
    // requests that a store may wait for.
    void stop(const std::function<void()>& meanwhile);

  private:
    struct Window {
        uint64_t inode;
        std::shared_ptr<const OpenFile> file;
        uint64_t offset;
    };
    void run();

    Engine& engine_;
    Store store_;
    // How much may be stored of a file while it is open, so that random reads all over a large disk
    // do not push everything else out of memory.
    uint64_t share_bytes_max_;
    std::atomic<bool> taken_{false};  // window_ belongs to who set it, then to the thread
    Window window_{};
    std::counting_semaphore<2> wake_{0};  // for a window and for the end
    std::atomic<bool> stopping_{false}, ended_{false};
    std::thread thread_;
};

}  // namespace hyper
