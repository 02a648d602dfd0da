// SPDX-License-Identifier: Apache-2.0
// A part of a read in a pipe: pages of files that are cached, which go to the socket without being copied (splice(2)), and between them the
// little that is computed.
#pragma once

#include <cstdint>
#include <span>

#include "blockengine/source.h"
#include "nbdserver/pipe.h"

namespace hyper::nbd {

// `pieces` are `length` bytes. An empty pipe where that does not pay, or cannot be had without waiting: then nothing has happened.
// The pipe goes back to `pipes` when it was drained.
Pipe spliced(PipePool& pipes, std::span<const Piece> pieces, uint32_t length);

}  // namespace hyper::nbd
