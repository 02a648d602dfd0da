// SPDX-License-Identifier: Apache-2.0
// A file or disk that is far away: reads take long, fail, and had better be under way together. Implemented by providers; read through
// a File (file.h), by way of the fetcher, which caches, joins and reads ahead.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "blockengine/base/bytes.h"
#include "blockengine/base/result.h"

namespace hyper {

// Thread-safe. Its content does not change while it is held.
class Remote {
  public:
    using Done = std::function<void(Result<std::shared_ptr<const Bytes>>)>;

    virtual ~Remote() = default;
    virtual uint64_t size_bytes() const = 0;
    // For messages, without secrets: the URI.
    virtual const std::string& name() const = 0;
    // Two of one identity have the same bytes, for ever; empty where that cannot be said, and then nothing of it is kept on a disk.
    virtual const std::string& identity() const = 0;
    // What one request had better be a multiple of (but at the end), and at most.
    virtual uint32_t request_bytes_min() const = 0;
    virtual uint32_t request_bytes_max() const = 0;
    // What costs little more than less does: neighbours that are wanted are joined up to that, however short the line. 0: nothing to say.
    virtual uint32_t request_bytes_good() const { return 0; }
    // That may be under way at once.
    virtual uint32_t requests_max() const = 0;

    // Begins a read of a range within the disk, and returns at once. `done` is called once, on any thread, perhaps before this returns, in
    // bounded time whatever the other side does, with all of the bytes or why not: EIO is of this range, which is then asked for in parts;
    // everything else (ESTALE where this state is gone, ETIMEDOUT, EACCES, ...) is of the whole disk. The last reference to the remote
    // may go within a call of `done`.
    virtual void read(uint64_t offset, uint32_t length, Done done) const = 0;

    // The first run that may be data at or after `offset`, clipped to `end`: [start, stop); start == stop == end where all the rest is zero for
    // sure. May wait, in bounded time; where it cannot be told, all is data.
    struct Run {
        uint64_t start, stop;
    };
    virtual Run next_data(uint64_t offset, uint64_t end) const = 0;
};

}  // namespace hyper
