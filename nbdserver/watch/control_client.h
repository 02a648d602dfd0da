// SPDX-License-Identifier: Apache-2.0
// The other side of the control socket.
#pragma once

#include <string>

#include "blockengine/base/result.h"
#include "http/message.h"

namespace hyper::watch {

// $XDG_RUNTIME_DIR/hyper/control.sock where that is there, else /run/hyper/control.sock.
std::string default_control_path();

// The body of the answer to `method` ("GET", "POST", "DELETE") and `target`, in which what is no plain
// character of a path is written %XX (path_text()). Errors: what the server answered, ENOENT for
// 404 and EPROTO else; ECONNREFUSED where none answers.
Result<std::string> ask_control(const std::string& socket_path, const std::string& method,
                                const std::string& target);

using http::path_text;

}  // namespace hyper::watch
