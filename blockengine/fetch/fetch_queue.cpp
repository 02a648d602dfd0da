// SPDX-License-Identifier: Apache-2.0
#include "blockengine/fetch/fetch_queue.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

namespace hyper {

namespace {

// Requests of less cost more than they bring anywhere; of more, too few would fill a window.
constexpr uint64_t joined_bytes_usual = 128 * KiB, joined_bytes_max = 4 * MiB;
constexpr uint64_t requests_in_a_window = 8;

uint64_t now_ns() {
    return static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

// Blocks of the cache's size, or smaller ones where the remote takes no such request.
uint32_t block_bytes_for(uint32_t request_bytes_max) {
    uint32_t bytes = CacheFile::block_bytes_max;
    while (bytes > request_bytes_max && bytes > sector_bytes) bytes /= 2;
    return bytes;
}

}  // namespace

FetchQueue::FetchQueue(std::shared_ptr<const Remote> remote, std::shared_ptr<FetchShare> share, Shelf shelf)
    : remote_(std::move(remote)),
      share_(std::move(share)),
      shelf_(std::move(shelf)),
      block_bytes_(block_bytes_for(remote_->request_bytes_max())),
      blocks_per_unit_(std::max<uint64_t>(1, divide_up(std::min(remote_->request_bytes_min(), remote_->request_bytes_max()), block_bytes_))),
      request_bytes_max_(std::max<uint64_t>(remote_->request_bytes_max(), block_bytes_)),
      joined_bytes_min_(std::clamp<uint64_t>(remote_->request_bytes_good(), joined_bytes_usual, joined_bytes_max)),
      requests_max_(std::max(1u, remote_->requests_max())) {}

uint32_t FetchQueue::length_of(uint64_t block) const {
    return static_cast<uint32_t>(std::min<uint64_t>(block_bytes_, remote_->size_bytes() - block * block_bytes_));
}

bool FetchQueue::queued(uint64_t block) const {
    auto found = blocks_.find(block);
    return found != blocks_.end() && !found->second.in_flight;
}

// Asking.

void FetchQueue::want(std::vector<Wanted> wanted) {
    Ended there;
    {
        std::lock_guard lock(mutex_);
        for (Wanted& each : wanted) {
            auto found = blocks_.find(each.block);
            if (found == blocks_.end()) {
                // It may have arrived since its reader looked.
                if (Block block = shelf_.find(each.block)) {
                    there.emplace_back(std::move(each.waiter), std::move(block));
                    continue;
                }
                found = blocks_.try_emplace(each.block).first;
            }
            if (!found->second.in_flight && found->second.waiters.empty()) demanded_.push_back(each.block);
            found->second.waiters.push_back(std::move(each.waiter));
        }
    }
    pump();
    for (auto& [waiter, block] : there) waiter(block);
}

void FetchQueue::want_ahead(uint64_t first, uint64_t last) {
    {
        std::lock_guard lock(mutex_);
        if (closed_) return;
        for (uint64_t block = first; block <= last && ahead_.size() * block_bytes_ < ahead_bytes_max; ++block) {
            if (blocks_.contains(block) || shelf_.known(block)) continue;
            blocks_.try_emplace(block);
            ahead_.push_back(block);
        }
    }
    pump();
}

void FetchQueue::close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    for (uint64_t block : ahead_)
        if (auto found = blocks_.find(block); found != blocks_.end() && !found->second.in_flight && found->second.waiters.empty())
            blocks_.erase(found);
    ahead_.clear();
}

FetchQueue::Pace FetchQueue::pace() const {
    std::lock_guard lock(mutex_);
    return {window_.bytes(), request_bytes()};
}

uint64_t FetchQueue::request_bytes() const {
    uint64_t share = window_.bytes() / std::min<uint64_t>(requests_in_a_window, requests_max_);
    uint64_t joined = std::clamp(share, joined_bytes_min_, joined_bytes_max);
    return std::max(std::min(joined, request_bytes_max_), blocks_per_unit_ * block_bytes_);
}

// Requests.

void FetchQueue::pump() {
    std::unique_lock lock(mutex_);
    if (pumping_) return;
    pumping_ = true;
    for (Request request; take_request(request);) {
        lock.unlock();
        begin(request);
        lock.lock();
    }
    pumping_ = false;
}

bool FetchQueue::take_request(Request& request) {
    return take_from(demanded_, true, request) || take_from(ahead_, false, request);
}

bool FetchQueue::take_from(std::deque<uint64_t>& queue, bool demanded, Request& request) {
    while (!queue.empty() && !queued(queue.front())) queue.pop_front();
    if (queue.empty()) return false;
    request = {queue.front(), 1, 0, demanded, {}};
    widen(request);
    for (uint64_t block = request.first; block < request.first + request.blocks; ++block) request.length += length_of(block);
    if (!may_begin(request)) return false;
    queue.pop_front();
    // Those that make a whole unit of it come along unasked.
    for (uint64_t block = request.first; block < request.first + request.blocks; ++block) blocks_[block].in_flight = true;
    request.sent = window_.sent(now_ns(), in_flight_bytes_);
    in_flight_bytes_ += request.length;
    if (demanded) demanded_in_flight_bytes_ += request.length;
    ++requests_;
    share_->in_flight_bytes += request.length;
    return true;
}

// To whole units, and to queued neighbours.
void FetchQueue::widen(Request& request) const {
    uint64_t blocks = divide_up(remote_->size_bytes(), block_bytes_);
    uint64_t blocks_max = std::max(blocks_per_unit_, request_bytes() / block_bytes_);
    bool alone = blocks_.at(request.first).alone;
    uint64_t start = round_down(request.first, blocks_per_unit_), stop = std::min(start + blocks_per_unit_, blocks);
    // A unit counts as queued where one of its blocks is, and none is under way.
    auto unit_queued = [&](uint64_t unit) {
        bool any = false;
        for (uint64_t block = unit; block < std::min(unit + blocks_per_unit_, blocks); ++block) {
            auto found = blocks_.find(block);
            if (found == blocks_.end()) continue;
            if (found->second.in_flight || found->second.alone) return false;
            any = true;
        }
        return any;
    };
    if (!unit_queued(start)) {
        // Part of it is under way, or it is to be asked for block by block.
        return;
    }
    if (!alone) {
        while (stop < blocks && stop - start + blocks_per_unit_ <= blocks_max && unit_queued(stop))
            stop = std::min(stop + blocks_per_unit_, blocks);
        while (start > 0 && stop - start + blocks_per_unit_ <= blocks_max && unit_queued(start - blocks_per_unit_))
            start -= blocks_per_unit_;
    }
    request.first = start;
    request.blocks = stop - start;
}

bool FetchQueue::may_begin(const Request& request) const {
    if (requests_ == 0) return true;
    if (requests_ >= requests_max_) return false;
    if (share_->in_flight_bytes + request.length > FetchShare::in_flight_bytes_max) return false;
    if (request.demanded) return demanded_in_flight_bytes_ + request.length <= std::max(window_.bytes(), demanded_bytes_max);
    // Whole requests, so that a window of less than three is not one of two.
    return requests_ + 1 < std::max(2u, requests_max_) && in_flight_bytes_ < window_.bytes();
}

void FetchQueue::begin(const Request& request) {
    remote_->read(request.first * block_bytes_, request.length,
                  [self = shared_from_this(), request](Result<Block> result) { self->answered(request, std::move(result)); });
}

// Answers.

void FetchQueue::answered(const Request& request, Result<Block> result) {
    if (result && (!*result || (*result)->size() != request.length))
        result = fail(EIO, "{} bytes instead of {}", *result ? (*result)->size() : 0, request.length);
    Ended ended;
    uint64_t now = now_ns();
    if (result) {
        bool quick;
        {
            std::lock_guard lock(mutex_);
            quick = now - request.sent.time_ns < window_.round_trip_ns() / 2;
        }
        bool zeros = quick && all_zero(**result);
        std::lock_guard lock(mutex_);
        window_.delivered(request.sent, request.length, zeros, now);
    }
    if (result) put_away(request, *result, ended);
    {
        std::lock_guard lock(mutex_);
        if (!result) failed(request, result.error(), ended);
        in_flight_bytes_ -= request.length;
        if (request.demanded) demanded_in_flight_bytes_ -= request.length;
        --requests_;
        share_->in_flight_bytes -= request.length;
    }
    pump();
    for (auto& [waiter, block] : ended) waiter(block);
}

void FetchQueue::put_away(const Request& request, const Block& bytes, Ended& ended) {
    std::vector<Block> blocks;
    auto rest = std::span<const std::byte>(*bytes);
    for (uint64_t i = 0; i < request.blocks; ++i) {
        uint32_t length = length_of(request.first + i);
        blocks.push_back(request.blocks == 1 ? bytes : std::make_shared<const Bytes>(rest.begin(), rest.begin() + length));
        rest = rest.subspan(length);
        shelf_.arrived(request.first + i, blocks.back());
    }
    std::lock_guard lock(mutex_);
    for (uint64_t i = 0; i < request.blocks; ++i) {
        auto found = blocks_.find(request.first + i);
        for (Waiter& waiter : found->second.waiters) ended.emplace_back(std::move(waiter), blocks[i]);
        blocks_.erase(found);
    }
}

void FetchQueue::failed(const Request& request, const Error& error, Ended& ended) {
    bool again = error.code == EIO && request.blocks > 1;
    for (uint64_t block = request.first; block < request.first + request.blocks; ++block) {
        auto found = blocks_.find(block);
        State& state = found->second;
        if (again && !state.waiters.empty()) {
            state.in_flight = false;
            state.alone = true;
            demanded_.push_back(block);
            continue;
        }
        for (Waiter& waiter : state.waiters) ended.emplace_back(std::move(waiter), tl::unexpected(error));
        blocks_.erase(found);
    }
}

}  // namespace hyper
