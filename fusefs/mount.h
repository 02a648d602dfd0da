// SPDX-License-Identifier: Apache-2.0
// A mounted file system, from the mount to the clean unmount.
#pragma once

#include <functional>
#include <string>

#include "catalog/catalog.h"
#include "catalog/writable_disks.h"

namespace hyper {

struct MountOptions {
    std::string mount_point;  // an existing folder
    bool allow_other = false;
};

// Mounts the catalog and serves it until it is unmounted, or SIGINT, SIGTERM or SIGHUP arrives.
// `ready` is called, on a thread of its own, when the mount answers. Errors: what the mount or its
// loop gives; libfuse has said more on stderr. `writable`: what can be written, or nullptr where nothing can.
Result<void> serve_mount(Catalog& catalog, WritableDisks* writable, const MountOptions& options,
                         const std::function<void()>& ready);

}  // namespace hyper
