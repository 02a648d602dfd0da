// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/command.h"

#include <algorithm>
#include <cerrno>

#include "blockengine/base/log.h"
#include "nbdserver/export.h"

namespace hyper::nbd {

namespace {

// Where zeros have to be written, a second's work or so.
constexpr uint64_t step_bytes = GiB;

Result<void> carry_out_step(const Export& exported, const Request& request, uint64_t offset, uint64_t length) {
    switch (request.type) {
        case CMD_CACHE:
            return prefetch(*exported.source, offset, length);
        case CMD_TRIM:
            return exported.writable->trim(offset, length);
        case CMD_WRITE_ZEROES:
            return exported.writable->zero(offset, length, (request.flags & FLAG_NO_HOLE) != 0, (request.flags & FLAG_FAST_ZERO) != 0);
        default:
            return {};
    }
}

}  // namespace

int logged_error(const Result<void>& result) {
    if (result) return 0;
    // Fast zeroing that is not to be had is an answer, and no failure.
    if (result.error().code != ENOTSUP) log_warning("{}", result.error().message);
    return result.error().code;
}

Result<void> carry_out(const Export& exported, const Request& request, const std::function<bool()>& given_up) {
    for (uint64_t done = 0; done < request.length;) {
        if (given_up()) return fail(ECANCELED, "{}: {} of {} bytes were done when the client left", exported.name, done, request.length);
        uint64_t length = std::min(step_bytes, request.length - done);
        TRY(carry_out_step(exported, request, request.offset + done, length));
        done += length;
    }
    if (request.type == CMD_FLUSH || (request.flags & FLAG_FUA) != 0) TRY(exported.writable->flush());
    return {};
}

Bytes status_payload(const ChosenContext& chosen, const Request& request, Mode mode, int& error) {
    bool extended = mode == Mode::extended;
    size_t limit = (request.flags & FLAG_REQ_ONE) != 0 ? 1 : descriptors_max;
    Bytes payload;
    auto append = [&](auto wire) {
        auto bytes = bytes_of(wire);
        payload.insert(payload.end(), bytes.begin(), bytes.end());
    };
    append(be32(chosen.id));
    if (extended) append(be32(0));
    size_t count = 0;
    error = logged_error(chosen.context->describe(request.offset, request.length, [&](uint64_t length, uint64_t state) {
        if (extended) {
            append(be64(length));
            append(be64(state));
        } else {
            append(be32(static_cast<uint32_t>(length)));
            append(be32(static_cast<uint32_t>(state)));
        }
        return ++count < limit;
    }));
    if (extended) store_be(payload.data() + sizeof(be32), static_cast<uint32_t>(count));
    return payload;
}

}  // namespace hyper::nbd
