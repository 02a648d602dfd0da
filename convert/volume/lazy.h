// SPDX-License-Identifier: Apache-2.0
// The disk that a lazy volume is filled from: told from others, and found again.
#pragma once

#include <memory>

#include "blockengine/volume/lazy_source.h"
#include "convert/image.h"

namespace hyper {

// Looks at the disk that name, format and snapshot mean, and says in `source` which content it has. Where it cannot be told from another later, as
// of most NBD servers, it is refused unless it is trusted to stay what it is. Errors: those of open_image(); EINVAL for what cannot be told.
Result<void> identify_lazy_source(Engine& engine, LazySource& source, bool trusted);
// Errors: those of open_image(); ESTALE where it has not the content that it had.
Result<std::shared_ptr<const Source>> open_lazy_source(Engine& engine, const LazySource& source);

}  // namespace hyper
