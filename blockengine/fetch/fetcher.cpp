// SPDX-License-Identifier: Apache-2.0
#include "blockengine/fetch/fetcher.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "blockengine/base/sha256.h"

namespace hyper {

namespace {

std::atomic<uint64_t> next_id{1};

// The part of a block that a range touches, and where in the range it is.
struct Touched {
    uint64_t block;
    uint32_t offset;  // within the block
    std::span<std::byte> buffer;
};

// Calls `visit` for each block until it answers false.
void visit_blocks(uint64_t offset, std::span<std::byte> buffer, uint32_t block_bytes, const auto& visit) {
    while (!buffer.empty()) {
        auto within = static_cast<uint32_t>(offset % block_bytes);
        size_t length = std::min<size_t>(block_bytes - within, buffer.size());
        if (!visit(Touched{offset / block_bytes, within, buffer.first(length)})) return;
        offset += length;
        buffer = buffer.subspan(length);
    }
}

void copy_from(const Bytes& block, const Touched& part) {
    std::memcpy(part.buffer.data(), block.data() + part.offset, part.buffer.size());
}

}  // namespace

struct Fetcher::Shelf {
    const std::shared_ptr<FetchShare> share;
    const uint64_t id = next_id++;
    uint32_t block_bytes = 0;
    std::optional<Sha256> identity;  // a digest that nobody finds a second text for; nothing where blocks are not kept on the disk

    explicit Shelf(std::shared_ptr<FetchShare> of) : share(std::move(of)) {}

    CacheFile::Key key_of(uint64_t block) const {
        struct {
            Sha256 identity;
            uint64_t offset, block_bytes;
        } parts{*identity, block * block_bytes, block_bytes};
        return xxh3_128(bytes_of(parts));
    }
    FetchQueue::Block find(uint64_t block) const { return share->memory.get(id, block * block_bytes); }
    bool known(uint64_t block) const { return find(block) || (identity && share->cache->has(key_of(block))); }
    void arrived(uint64_t block, const FetchQueue::Block& bytes) const {
        share->memory.put(id, block * block_bytes, bytes);
        if (identity) share->writer->put(key_of(block), bytes);
    }
    CacheFile::Found read(const Touched& part) const {
        if (FetchQueue::Block block = find(part.block)) {
            copy_from(*block, part);
            return CacheFile::Found::yes;
        }
        return identity ? share->cache->read(key_of(part.block), part.offset, part.buffer) : CacheFile::Found::no;
    }
};

// A read whose blocks are being fetched.
struct Fetcher::Pending {
    std::function<void(Result<void>)> done;
    std::mutex mutex;
    size_t left;           // guarded by mutex
    Result<void> result;   // guarded by mutex

    Pending(std::function<void(Result<void>)> to_call, size_t parts) : done(std::move(to_call)), left(parts) {}
    void ended(const Touched& part, const Result<FetchQueue::Block>& block) {
        if (block) copy_from(**block, part);
        {
            std::lock_guard lock(mutex);
            if (!block && result) result = tl::unexpected(block.error());
            if (--left > 0) return;
        }
        done(std::move(result));
    }
};

std::shared_ptr<const File> open_far(std::shared_ptr<const Remote> remote, Io& io, std::shared_ptr<FetchShare> share) {
    return File::far(std::make_unique<Fetcher>(std::move(remote), std::move(share)), io);
}

Fetcher::Fetcher(std::shared_ptr<const Remote> remote, std::shared_ptr<FetchShare> share)
    : remote_(std::move(remote)),
      shelf_(std::make_shared<Shelf>(share)),
      queue_(std::make_shared<FetchQueue>(
          remote_, share,
          FetchQueue::Shelf{[shelf = shelf_](uint64_t block, const FetchQueue::Block& bytes) { shelf->arrived(block, bytes); },
                            [shelf = shelf_](uint64_t block) { return shelf->known(block); },
                            [shelf = shelf_](uint64_t block) { return shelf->find(block); }})) {
    shelf_->block_bytes = queue_->block_bytes();
    if (share->cache && !remote_->identity().empty()) shelf_->identity = sha256({bytes_of_text(remote_->identity())});
}

Fetcher::~Fetcher() { queue_->close(); }

FarReader::AtHand Fetcher::read_at_hand(uint64_t offset, std::span<std::byte> buffer) {
    NoWait no_wait;
    auto found = AtHand::yes;
    visit_blocks(offset, buffer, queue_->block_bytes(), [&](const Touched& part) {
        CacheFile::Found here = shelf_->read(part);
        if (here == CacheFile::Found::not_now) found = AtHand::on_disk;
        if (here == CacheFile::Found::no) found = AtHand::no;
        return found != AtHand::no;
    });
    if (found == AtHand::yes) read_ahead_of(offset, buffer.size());
    return found;
}

void Fetcher::begin(std::vector<Read> reads) {
    std::vector<FetchQueue::Wanted> wanted;
    for (Read& read : reads) {
        std::vector<Touched> missing;
        visit_blocks(read.offset, read.buffer, queue_->block_bytes(), [&](const Touched& part) {
            if (shelf_->read(part) != CacheFile::Found::yes) missing.push_back(part);
            return true;
        });
        if (missing.empty()) {
            read.done({});
            continue;
        }
        auto pending = std::make_shared<Pending>(std::move(read.done), missing.size());
        for (const Touched& part : missing)
            wanted.push_back({part.block, [pending, part](const Result<FetchQueue::Block>& block) { pending->ended(part, block); }});
    }
    queue_->want(std::move(wanted));
    for (const Read& read : reads) read_ahead_of(read.offset, read.buffer.size());
}

void Fetcher::will_need(uint64_t offset, uint64_t length) {
    if (length == 0) return;
    queue_->want_ahead(offset / queue_->block_bytes(), (offset + length - 1) / queue_->block_bytes());
}

void Fetcher::read_ahead_of(uint64_t offset, uint64_t length) {
    auto [window, step] = queue_->pace();
    // A window under way, and what the reader takes meanwhile.
    Streams::Limits limits{std::min(window + 2 * step, FetchQueue::ahead_bytes_max), step, remote_->size_bytes()};
    Streams::Range ahead;
    {
        std::lock_guard lock(mutex_);
        ahead = streams_.read(offset, length, limits);
    }
    will_need(ahead.offset, ahead.length);
}

}  // namespace hyper
