// SPDX-License-Identifier: Apache-2.0
#include "fusefs/neighbours.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace hyper {

namespace {

// Of the machine's memory.
constexpr uint64_t share_divisor = 4;

uint64_t memory_bytes() {
    return static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) *
           static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

Neighbours::Neighbours(Engine& engine, Store store)
    : engine_(engine), store_(std::move(store)), share_bytes_max_(memory_bytes() / share_divisor) {
    // Signals are the main thread's: its loop has to wake.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Neighbours::~Neighbours() {
    stop([] {});
}

void Neighbours::want(uint64_t inode, const std::shared_ptr<const OpenFile>& file,
                      uint64_t offset) {
    if (file->stored_bytes >= share_bytes_max_ || taken_.exchange(true)) return;
    window_ = {inode, file, offset - offset % window_bytes};
    wake_.release();
}

void Neighbours::stop(const std::function<void()>& meanwhile) {
    if (!thread_.joinable()) return;
    stopping_ = true;
    wake_.release();
    while (!ended_) meanwhile();
    thread_.join();
}

void Neighbours::run() {
    std::vector<std::byte> buffer(window_bytes);
    for (;;) {
        wake_.acquire();
        if (stopping_) break;
        const Source& source = *window_.file->source;
        auto bytes =
            std::span(buffer).first(std::min(window_bytes, source.size_bytes() - window_.offset));
        NoWait no_wait;
        if (engine_.read(source, window_.offset, bytes)) {
            store_(window_.inode, window_.offset, bytes);
            window_.file->stored_bytes += bytes.size();
        }
        // The file is held until its bytes are stored: as long as it is, another content cannot
        // appear under its name.
        window_.file.reset();
        taken_ = false;
    }
    ended_ = true;
}

}  // namespace hyper
