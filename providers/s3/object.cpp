// SPDX-License-Identifier: Apache-2.0
#include "providers/s3/object.h"

#include <fmt/format.h>

#include <charconv>

#include "providers/s3/failures.h"

namespace hyper::s3 {

namespace {

std::optional<uint64_t> number(std::string_view text) {
    uint64_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

Outcome<void> same_state(const HttpAnswer& answer, const ObjectState& state, const std::string& what) {
    std::string_view etag = answer.header("etag"), modified = answer.header("last-modified");
    bool missing = state.etag.empty() ? modified.empty() : etag.empty();
    if (missing) return failed(HYPER_FATAL, fmt::format("{}: the answer does not say of which state of the object it is", what));
    if (state.etag.empty() ? modified == state.last_modified : etag == state.etag) return {};
    return failed(HYPER_SNAPSHOT_GONE, fmt::format("{}: the object was changed: it was {}, and now is {}", what,
                                                   state.etag.empty() ? state.last_modified : state.etag, state.etag.empty() ? modified : etag));
}

}  // namespace

std::string ObjectState::content() const {
    if (!strong()) return "";
    return fmt::format("{} {} bytes{}", etag, size_bytes, version.empty() ? "" : " version " + version);
}

std::optional<ContentRange> content_range(std::string_view text) {
    if (!text.starts_with("bytes ")) return std::nullopt;
    text.remove_prefix(6);
    size_t slash = text.find('/');
    if (slash == text.npos) return std::nullopt;
    ContentRange range;
    std::string_view bytes = text.substr(0, slash), total = text.substr(slash + 1);
    if (total != "*" && !(range.total = number(total))) return std::nullopt;
    if (bytes == "*") return range;
    size_t dash = bytes.find('-');
    auto first = number(bytes.substr(0, dash)), last = dash == bytes.npos ? std::nullopt : number(bytes.substr(dash + 1));
    if (!first || !last || *last < *first || (range.total && *last >= *range.total)) return std::nullopt;
    range.satisfied = true;
    range.first = *first;
    range.last = *last;
    return range;
}

std::string range_text(uint64_t offset, uint64_t length) { return fmt::format("bytes={}-{}", offset, offset + length - 1); }

Outcome<ObjectState> state_of(const HttpAnswer& answer, const std::string& what) {
    ObjectState state;
    state.etag = answer.header("etag");
    state.last_modified = answer.header("last-modified");
    if (std::string_view version = answer.header("x-amz-version-id"); version != "null") state.version = version;
    auto range = content_range(answer.header("content-range"));
    std::optional<uint64_t> length = number(answer.header("content-length"));
    if (answer.status == 416 && range && !range->satisfied && range->total == 0u) {
        state.size_bytes = 0;
    } else if (answer.status / 100 != 2 || answer.failure) {
        return tl::unexpected(failure_of(answer, what, Known::no));
    } else if (answer.status == 206 && range && range->total && range->first == 0) {
        state.size_bytes = *range->total;
    } else if (answer.status == 200 && length && *length <= 1) {
        state.size_bytes = *length;
    } else if (answer.status == 200) {
        return failed(HYPER_BAD_CONFIGURATION, fmt::format("{}: the server ignores Range, so nothing can be read from the middle: copy it first", what));
    } else {
        return failed(HYPER_FATAL, fmt::format("{}: the server answers {} with Content-Range \"{}\"", what, answer.status, answer.header("content-range")));
    }
    if (state.size_bytes > 0 && state.etag.empty() && state.last_modified.empty())
        return failed(HYPER_BAD_CONFIGURATION,
                      fmt::format("{}: the server gives neither ETag nor Last-Modified, so a change would not be seen: copy it first", what));
    return state;
}

Headers conditions(const ObjectState& state) {
    if (state.strong()) return {{"if-match", state.etag}};
    if (!state.last_modified.empty()) return {{"if-unmodified-since", state.last_modified}};
    return {};
}

Outcome<void> is_of(const HttpAnswer& answer, const ObjectState& state, uint64_t offset, uint64_t length, const std::string& what) {
    if (answer.status / 100 != 2) return tl::unexpected(failure_of(answer, what, Known::yes));
    if (auto same = same_state(answer, state, what); !same) return same;
    if (answer.status == 200) {
        auto whole = number(answer.header("content-length"));
        if (whole && *whole != state.size_bytes)
            return failed(HYPER_SNAPSHOT_GONE, fmt::format("{}: the object had {} bytes, and now has {}", what, state.size_bytes, *whole));
        if (offset == 0) return {};
        return failed(HYPER_BAD_CONFIGURATION, fmt::format("{}: the server ignores Range and sends all of the object", what));
    }
    auto range = content_range(answer.header("content-range"));
    if (answer.status != 206 || !range || !range->satisfied || range->first != offset || range->last != offset + length - 1)
        return failed(HYPER_FATAL, fmt::format("{}: the server answers {} with Content-Range \"{}\"", what, answer.status, answer.header("content-range")));
    if (range->total && *range->total != state.size_bytes)
        return failed(HYPER_SNAPSHOT_GONE, fmt::format("{}: the object had {} bytes, and now has {}", what, state.size_bytes, *range->total));
    return {};
}

}  // namespace hyper::s3
