// SPDX-License-Identifier: Apache-2.0
// What the service manager is told (sd_notify(3)), over the socket that $NOTIFY_SOCKET names: a
// path, or "@" and an abstract name. Without a service manager there is no such variable, and
// nothing is sent. Thread-safe as long as nobody changes the environment.
#pragma once

#include <span>
#include <string_view>

#include "blockengine/base/result.h"

namespace hyper {

// `status` is one line for `systemctl status`; control characters become spaces. Errors: EINVAL for
// a socket name that cannot be, EPROTONOSUPPORT for one that is neither path nor abstract, else
// what sending gave. A server goes on all the same.
Result<void> notify_ready(std::string_view status);
Result<void> notify_status(std::string_view status);
Result<void> notify_reloading();  // followed by notify_ready() when done
Result<void> notify_stopping();

// Puts descriptors into the service manager's store, which gives them to the next start under this
// name (see take_inherited()). The name is of printable ASCII without ":", 255 bytes at most; of
// descriptors 253 at most.
Result<void> notify_store(std::string_view name, std::span<const int> fds);
// Takes all of that name out of the store.
Result<void> notify_forget(std::string_view name);

}  // namespace hyper
