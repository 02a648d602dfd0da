// SPDX-License-Identifier: Apache-2.0
// Blocks of one remote that are wanted, and the requests that are made of them.
//
// Design note. A block is idle (not in the table), queued, or under way. Whoever wants one that is queued or under way waits for the same.
// Two queues hold numbers: what somebody waits for, and what is fetched ahead; the first goes first. A request begins with the block in
// front and takes in its queued neighbours on both sides, whichever queue they are in. Some bytes under way keep the path full (FlowWindow); reads
// ahead use no more than that together with all else, and leave one of the remote's requests free, so that what somebody waits for
// never waits for them. That may be more than a window: it would only wait here instead, and some that hang would hold up the rest.
// When a request of several fails (EIO), its blocks are asked for again one by one, where somebody waits: an error reaches those who
// want that block. Other errors are not of one place, and reach all. What failed and nobody waits for is forgotten, and asked for anew
// by whoever wants it.
// Nothing is called with the mutex held: a remote may answer from within read(). One thread at a time makes requests, so an answer from
// within does not nest.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "blockengine/fetch/flow_window.h"
#include "blockengine/fetch/share.h"
#include "blockengine/remote.h"

namespace hyper {

// Thread-safe. Lives until its last request has ended.
class FetchQueue : public std::enable_shared_from_this<FetchQueue> {
  public:
    using Block = std::shared_ptr<const Bytes>;
    using Waiter = std::function<void(const Result<Block>&)>;
    struct Wanted {
        uint64_t block;
        Waiter waiter;
    };
    // Read ahead that has not begun: so many bytes at most; what is asked for beyond is not fetched.
    static constexpr uint64_t ahead_bytes_max = 32 * MiB;

    // What somebody waits for and is under way, where the window is less.
    static constexpr uint64_t demanded_bytes_max = 16 * MiB;

    // `arrived` is called with each block before those who wait for it, and afterwards `known` must find it, for as long as it is kept.
    struct Shelf {
        std::function<void(uint64_t block, const Block&)> arrived;
        std::function<bool(uint64_t block)> known;
        std::function<Block(uint64_t block)> find;
    };
    FetchQueue(std::shared_ptr<const Remote> remote, std::shared_ptr<FetchShare> share, Shelf shelf);

    uint32_t block_bytes() const { return block_bytes_; }
    // Of this block; the last may be shorter.
    uint32_t length_of(uint64_t block) const;

    // Waiters are called once, on any thread, perhaps before this returns.
    void want(std::vector<Wanted> wanted);
    // [first, last] had better be there soon.
    void want_ahead(uint64_t first, uint64_t last);
    // What is queued and nobody waits for is dropped, and no more taken.
    void close();

    // What is under way when the path is full, and how large a request becomes.
    struct Pace {
        uint64_t window_bytes, request_bytes;
    };
    Pace pace() const;

  private:
    struct State {
        bool in_flight = false, alone = false;
        std::vector<Waiter> waiters;
    };
    struct Request {
        uint64_t first;
        uint64_t blocks;
        uint32_t length;
        bool demanded;
        FlowWindow::Sent sent;
    };
    using Ended = std::vector<std::pair<Waiter, Result<Block>>>;

    void pump();
    bool take_request(Request& request);
    bool take_from(std::deque<uint64_t>& queue, bool demanded, Request& request);
    void widen(Request& request) const;
    bool may_begin(const Request& request) const;
    void begin(const Request& request);
    void answered(const Request& request, Result<Block> result);
    void put_away(const Request& request, const Block& bytes, Ended& ended);
    void failed(const Request& request, const Error& error, Ended& ended);
    bool queued(uint64_t block) const;
    uint64_t request_bytes() const;

    const std::shared_ptr<const Remote> remote_;
    const std::shared_ptr<FetchShare> share_;
    const Shelf shelf_;
    const uint32_t block_bytes_;
    const uint64_t blocks_per_unit_, request_bytes_max_, joined_bytes_min_;
    const unsigned requests_max_;

    mutable std::mutex mutex_;
    std::unordered_map<uint64_t, State> blocks_;  // guarded by mutex_
    std::deque<uint64_t> demanded_, ahead_;       // guarded by mutex_; may hold what is no longer queued
    FlowWindow window_;                           // guarded by mutex_
    uint64_t in_flight_bytes_ = 0, demanded_in_flight_bytes_ = 0;  // guarded by mutex_
    unsigned requests_ = 0;                                        // guarded by mutex_
    bool pumping_ = false, closed_ = false;                        // guarded by mutex_
};

}  // namespace hyper
