// SPDX-License-Identifier: Apache-2.0
#include "blockengine/fetch/streams.h"

#include <algorithm>

namespace hyper {

// The one that the read goes on with, or a new one in the place of that which was idle longest.
Streams::Stream& Streams::stream_of(uint64_t offset, uint64_t length) {
    for (Stream& stream : streams_) {
        if (stream.next == UINT64_MAX) continue;
        uint64_t farthest = std::max(stream.next + gap_bytes, stream.ahead_until);
        if (offset <= farthest && offset + disorder_bytes >= stream.next && offset + length > stream.next) return stream;
        // What was asked for earlier, and arrives late.
        if (offset < stream.next && stream.next - offset <= std::min(disorder_bytes, stream.in_a_row_bytes)) return stream;
    }
    Stream& oldest = *std::ranges::min_element(streams_, {}, &Stream::last_read);
    oldest = {offset, 0, 0, 0};
    return oldest;
}

uint64_t Streams::active() const {
    auto is_active = [this](const Stream& stream) {
        return stream.in_a_row_bytes >= bytes_before && stream.last_read + reads_until_idle > reads_;
    };
    return std::max<uint64_t>(1, static_cast<uint64_t>(std::ranges::count_if(streams_, is_active)));
}

Streams::Range Streams::read(uint64_t offset, uint64_t length, const Limits& limits) {
    Stream& stream = stream_of(offset, length);
    stream.last_read = ++reads_;
    uint64_t end = offset + length;
    if (end <= stream.next) return {0, 0};
    stream.next = end;
    stream.in_a_row_bytes += length;
    if (stream.in_a_row_bytes < bytes_before) return {0, 0};
    uint64_t ahead = std::min(2 * stream.in_a_row_bytes, limits.ahead_bytes / active());
    uint64_t from = std::max(stream.ahead_until, end), until = std::min(end + ahead, limits.size_bytes);
    if (until <= from || (until - from < std::min(limits.step_bytes, ahead / 2) && until < limits.size_bytes)) return {0, 0};
    stream.ahead_until = until;
    return {from, until - from};
}

}  // namespace hyper
