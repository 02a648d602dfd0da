// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/watch/control_client.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "http/unix_client.h"

namespace hyper::watch {

namespace {

// The message of {"error": "..."}, or the body as it is.
std::string error_text(const std::string& body) {
    auto json = nlohmann::json::parse(body, nullptr, false);
    return json.is_object() && json.contains("error") && json["error"].is_string()
               ? json["error"].get<std::string>()
               : body;
}

}  // namespace

std::string default_control_path() {
    const char* runtime = std::getenv("XDG_RUNTIME_DIR");
    std::error_code ignored;
    if (runtime != nullptr && *runtime != 0) {
        std::string own = std::string(runtime) + "/hyper/control.sock";
        if (std::filesystem::exists(own, ignored)) return own;
    }
    return "/run/hyper/control.sock";
}

Result<std::string> ask_control(const std::string& socket_path, const std::string& method,
                                const std::string& target) {
    auto result = http::ask_unix(socket_path, method, target);
    if (!result)
        return fail(ECONNREFUSED, "control socket {}; is hypernbd running with --control?",
                    result.error().message);
    if (result->status == 404) return fail(ENOENT, "{}", error_text(result->body));
    if (result->status != 200)
        return fail(EPROTO, "control socket {}: {} {}: {} {}", socket_path, method, target,
                    result->status, error_text(result->body));
    return result->body;
}

}  // namespace hyper::watch
