// SPDX-License-Identifier: Apache-2.0
// Sends the requests of a trace to an NBD server once more.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "blockengine/base/result.h"
#include "nbdserver/watch/stats.h"

namespace hyper::ctl {

struct ReplayOptions {
    static constexpr unsigned connections_max = 256;

    std::string trace, uri;
    std::optional<std::string> export_name;  // needed where the trace has several
    unsigned connections = 0;                // 0: one for each client of the trace, 16 at most
    bool at_full_speed =
        false;  // else each request is sent when it came, or as soon as possible after
    bool writable = false;
};

// Both statistics are of the same requests.
struct Replayed {
    watch::Statistics replayed, recorded;
    uint64_t took_ns = 0, recorded_ns = 0;  // from the first request's start to the last one's end
    uint64_t skipped =
        0;  // requests that failed when recorded, or whose command the server has not
    uint64_t left_out = 0;  // of the trace itself
    unsigned connections = 0;
};

// The requests of one client stay on one connection, in the order in which they came, at most 64
// and about 64 MiB in flight. What is read is not looked at; writes write a pattern. Errors: EINVAL
// where the trace has several exports, reaches behind the end of the disk or is too long; EPERM
// where it has writing requests and `writable` is not set; those of the connection.
Result<Replayed> replay_trace(const ReplayOptions& options);

}  // namespace hyper::ctl
