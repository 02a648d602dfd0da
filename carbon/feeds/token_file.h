// SPDX-License-Identifier: Apache-2.0
// A token, or USER:PASSWORD, from a file that holds one line. Nowhere else do secrets come from: not from arguments, the environment or URLs.
#pragma once

#include <string>

#include "blockengine/base/result.h"

namespace hyper::carbon {

// EPERM where others may read the file (root's own group may, as systemd's credentials are made); EINVAL where it is empty, longer than 4096
// bytes, has more than a line, or holds what no header may. What it holds is in no message.
Result<std::string> read_token_file(const std::string& path);

}  // namespace hyper::carbon
