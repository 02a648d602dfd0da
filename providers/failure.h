// SPDX-License-Identifier: Apache-2.0
// What a provider said went wrong, and what it means here.
#pragma once

#include <string_view>

#include "blockengine/base/result.h"
#include "providers/hyper-provider.h"

namespace hyper {

// "retry later", "log in again", ...
std::string_view failure_name(hyper_failure kind);

// The errno that doors see: EAGAIN is never among them. ESTALE for a snapshot that is gone, ENODATA for lost tracking, EDQUOT, EACCES,
// EINVAL; EIO for all else.
int code_of_failure(hyper_failure kind);

// `who`: the URI, without secrets.
Error error_of_failure(hyper_failure kind, std::string_view who, std::string_view what, const hyper_error& error);

}  // namespace hyper
