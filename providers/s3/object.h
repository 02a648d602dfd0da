// SPDX-License-Identifier: Apache-2.0
// An object as it was at one time, how to ask for a range of just that, and whether an answer is of it.
//
// Design note. Three things keep two contents from being mixed. Where the bucket keeps versions, the version is asked for, and stays what it is
// whatever happens to the key. If-Match makes the server refuse what has another ETag; and since some ignore it, each answer's own ETag (where
// there is none, its Last-Modified), size and range are compared. What neither has a version nor an ETag nor a Last-Modified is not read at all.
#pragma once

#include <cstdint>
#include <string>

#include "providers/s3/answer.h"

namespace hyper::s3 {

struct ObjectState {
    uint64_t size_bytes = 0;
    std::string etag;           // as the header has it, with its quotes
    std::string last_modified;
    std::string version;        // empty: there are none, or they may not be read

    // A weak one (W/"...") means that the content is as good as the same.
    bool strong() const { return !etag.empty() && !etag.starts_with("W/"); }
    // What is the same for the same bytes; empty where that cannot be said.
    std::string content() const;
};

// "bytes a-b/total", "bytes */total"
struct ContentRange {
    bool satisfied = false;
    uint64_t first = 0, last = 0;
    std::optional<uint64_t> total;
};
std::optional<ContentRange> content_range(std::string_view text);

// "bytes=a-b"; length is not 0.
std::string range_text(uint64_t offset, uint64_t length);

// Of the answer to a request for bytes=0-0. Errors: as failure_of(); HYPER_BAD_CONFIGURATION where the server ignores Range or names no state.
Outcome<ObjectState> state_of(const HttpAnswer& answer, const std::string& what);

// What makes the server refuse another state; for the request's headers.
Headers conditions(const ObjectState& state);

// Whether the headers are of an answer with [offset, offset + length) of that state, at its beginning. Errors: as failure_of().
Outcome<void> is_of(const HttpAnswer& answer, const ObjectState& state, uint64_t offset, uint64_t length, const std::string& what);

}  // namespace hyper::s3
