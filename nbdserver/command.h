// SPDX-License-Identifier: Apache-2.0
// What workers do for a client: everything but reads and writes.
#pragma once

#include <functional>

#include "blockengine/base/bytes.h"
#include "nbdserver/handshake.h"
#include "nbdserver/request.h"

namespace hyper::nbd {

// Descriptors of a BLOCK_STATUS chunk.
inline constexpr size_t descriptors_max = 2048;

// 0, or the errno that the client is told; the words go to the log.
int logged_error(const Result<void>& result);

// Flush, trim, zeroes, cache; durable on return where the request asks for that. A long range is done in steps, and ECANCELED says that it was
// given up between two of them, since nobody waits for it any more.
Result<void> carry_out(const Export& exported, const Request& request, const std::function<bool()>& given_up);

// The payload of a BLOCK_STATUS chunk.
Bytes status_payload(const ChosenContext& chosen, const Request& request, Mode mode, int& error);

}  // namespace hyper::nbd
