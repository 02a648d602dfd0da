// SPDX-License-Identifier: Apache-2.0
// A mounted file system, from the mount to the clean unmount.
#pragma once

#include <functional>
#include <string>

#include "catalog/catalog.h"

namespace hyper {

struct MountOptions {
    std::string mount_point;  // an existing folder
    bool allow_other = false;
};

// Mounts the catalog and serves it until it is unmounted, or SIGINT, SIGTERM or SIGHUP arrives.
// `ready` is called, on a thread of its own, when the mount answers. Errors: what the mount or its
// loop gives; libfuse has said more on stderr.
Result<void> serve_mount(Catalog& catalog, const MountOptions& options,
                         const std::function<void()>& ready);

}  // namespace hyper
