// SPDX-License-Identifier: Apache-2.0
// A remote whose answers come when the test says so, and nothing else.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "blockengine/remote.h"
#include "tests/support/support.h"

namespace hyper::test {

// Bytes that tell their offset.
inline std::byte byte_at(uint64_t offset) { return static_cast<std::byte>(offset * 0x9e3779b97f4a7c15u >> 56); }
inline Bytes bytes_at(uint64_t offset, size_t length) {
    Bytes bytes(length);
    for (size_t i = 0; i < length; ++i) bytes[i] = byte_at(offset + i);
    return bytes;
}

// Thread-safe.
class FakeRemote : public Remote {
  public:
    struct Limits {
        uint64_t size_bytes = 64 * MiB;
        uint32_t request_bytes_min = 4096, request_bytes_max = 32 << 20, requests_max = 64, request_bytes_good = 0;
    };
    struct Asked {
        uint64_t offset;
        uint32_t length;
        Done done;
        bool answered = false;
        uint64_t end() const { return offset + length; }
    };

    explicit FakeRemote(Limits limits, std::string identity = "") : limits_(limits), identity_(std::move(identity)) {}
    FakeRemote() : FakeRemote(Limits{}) {}

    uint64_t size_bytes() const override { return limits_.size_bytes; }
    const std::string& name() const override { return name_; }
    const std::string& identity() const override { return identity_; }
    uint32_t request_bytes_min() const override { return limits_.request_bytes_min; }
    uint32_t request_bytes_max() const override { return limits_.request_bytes_max; }
    uint32_t requests_max() const override { return limits_.requests_max; }
    uint32_t request_bytes_good() const override { return limits_.request_bytes_good; }
    Run next_data(uint64_t offset, uint64_t end) const override { return {offset, end}; }

    void read(uint64_t offset, uint32_t length, Done done) const override {
        std::optional<uint64_t> bad;
        {
            std::lock_guard lock(mutex_);
            bad = bad_;
            asked_.push_back({offset, length, std::move(done), at_once_});
            if (!at_once_) {
                changed_.notify_all();
                return;
            }
            done = std::move(asked_.back().done);
        }
        nested_max = std::max(nested_max, ++nested_);
        end(done, offset, length, bad);
        --nested_;
    }
    // How often read() was called from within itself, by way of an answer.
    mutable unsigned nested_max = 0;

    // From now on each read is answered from within; reads that touch `bad_offset` with EIO.
    void answer_at_once(std::optional<uint64_t> bad_offset = {}) {
        std::lock_guard lock(mutex_);
        at_once_ = true;
        bad_ = bad_offset;
    }
    // What was asked for up to now.
    std::vector<Asked> asked() const {
        std::lock_guard lock(mutex_);
        return asked_;
    }
    size_t count() const { return asked().size(); }
    uint64_t bytes_unanswered() const {
        uint64_t bytes = 0;
        for (const Asked& each : asked()) bytes += each.answered ? 0 : each.length;
        return bytes;
    }
    void wait_for(size_t count) const {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return asked_.size() >= count; });
    }
    void answer(size_t nth) { end(take(nth), asked()[nth].offset, asked()[nth].length, {}); }
    void fail(size_t nth, int code) { take(nth)(hyper::fail(code, "the far side says no")); }
    void answer_short(size_t nth) { take(nth)(std::make_shared<const Bytes>(asked()[nth].length - 1)); }
    // All that is not answered, and what is asked for while that is done.
    void answer_all(std::optional<uint64_t> bad_offset = {}) {
        for (size_t i = 0; i < count(); ++i) {
            Asked each = asked()[i];
            if (!each.answered) end(take(i), each.offset, each.length, bad_offset);
        }
    }

  private:
    Done take(size_t nth) {
        std::lock_guard lock(mutex_);
        asked_[nth].answered = true;
        return std::move(asked_[nth].done);
    }
    static void end(const Done& done, uint64_t offset, uint32_t length, std::optional<uint64_t> bad) {
        if (bad && offset <= *bad && *bad < offset + length)
            done(hyper::fail(EIO, "bad sector"));
        else
            done(std::make_shared<const Bytes>(bytes_at(offset, length)));
    }

    const Limits limits_;
    const std::string name_ = "fake://disk", identity_;
    mutable unsigned nested_ = 0;
    mutable std::mutex mutex_;
    bool at_once_ = false;          // guarded by mutex_
    std::optional<uint64_t> bad_;   // guarded by mutex_
    mutable std::condition_variable changed_;
    mutable std::vector<Asked> asked_;  // guarded by mutex_
};

}  // namespace hyper::test
