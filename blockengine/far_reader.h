// SPDX-License-Identifier: Apache-2.0
// What a File that is far away is read by. Implemented by the fetcher (fetch/).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "blockengine/base/result.h"
#include "blockengine/remote.h"

namespace hyper {

// Thread-safe. Ranges lie within the file.
class FarReader {
  public:
    virtual ~FarReader() = default;
    virtual const Remote& remote() const = 0;

    // Fills the buffer if nothing has to be waited for: not for the network, and not for the local disk, where some of it may be.
    enum class AtHand { yes, on_disk, no };
    virtual AtHand read_at_hand(uint64_t offset, std::span<std::byte> buffer) = 0;

    // `done` is called once, on any thread, perhaps before begin() returns. The buffer must stay until then; on error its content is
    // undefined.
    struct Read {
        uint64_t offset;
        std::span<std::byte> buffer;
        std::function<void(Result<void>)> done;
    };
    // Begins all of them before any is waited for. Waits for the local disk at most, and under NoWait (io.h) not for that either: what
    // would have to be waited for there is fetched.
    virtual void begin(std::vector<Read> reads) = 0;

    // Begins to fetch a range, if nothing better is to be done. Never waits.
    virtual void will_need(uint64_t offset, uint64_t length) = 0;
};

}  // namespace hyper
