// SPDX-License-Identifier: Apache-2.0
// Reads a remote for a File: from memory, from the cache on the local disk, or by requests that are joined and run ahead.
#pragma once

#include <memory>

#include "blockengine/far_reader.h"
#include "blockengine/fetch/fetch_queue.h"
#include "blockengine/fetch/share.h"
#include "blockengine/fetch/streams.h"
#include "blockengine/file.h"

namespace hyper {

// The remote as a file. Errors, when it is read: EIO, with the remote's own words.
std::shared_ptr<const File> open_far(std::shared_ptr<const Remote> remote, Io& io, std::shared_ptr<FetchShare> share = process_share());

// Thread-safe. What is under way when it ends goes on, for those who wait for it; what was to be read ahead does not.
class Fetcher : public FarReader {
  public:
    Fetcher(std::shared_ptr<const Remote> remote, std::shared_ptr<FetchShare> share);
    ~Fetcher() override;

    const Remote& remote() const override { return *remote_; }
    AtHand read_at_hand(uint64_t offset, std::span<std::byte> buffer) override;
    void begin(std::vector<Read> reads) override;
    void will_need(uint64_t offset, uint64_t length) override;

  private:
    // Where the blocks of this remote are kept.
    struct Shelf;
    struct Pending;

    void read_ahead_of(uint64_t offset, uint64_t length);

    const std::shared_ptr<const Remote> remote_;
    const std::shared_ptr<Shelf> shelf_;
    const std::shared_ptr<FetchQueue> queue_;
    std::mutex mutex_;
    Streams streams_;  // guarded by mutex_
};

}  // namespace hyper
