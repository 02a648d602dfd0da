// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/watch/control_client.h"

#include <httplib.h>
#include <sys/socket.h>

#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

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

std::string path_text(std::string_view text) {
    std::string path;
    for (unsigned char c : text) {
        bool plain = (c < 0x80 && std::isalnum(c)) ||
                     std::string_view("-._~/").find(static_cast<char>(c)) != std::string_view::npos;
        path += plain ? std::string(1, static_cast<char>(c)) : fmt::format("%{:02X}", c);
    }
    return path;
}

Result<std::string> ask_control(const std::string& socket_path, const std::string& method,
                                const std::string& target) {
    httplib::ClientImpl client(socket_path);
    client.set_address_family(AF_UNIX);
    client.set_url_encode(false);
    client.set_read_timeout(10);
    httplib::Request request;
    request.method = method;
    request.path = target;
    request.headers = {{"Host", "localhost"}};
    auto result = client.send(request);
    if (!result)
        return fail(ECONNREFUSED,
                    "control socket {}: no answer ({}); is hypernbd running with --control?",
                    socket_path, httplib::to_string(result.error()));
    if (result->status == 404) return fail(ENOENT, "{}", error_text(result->body));
    if (result->status != 200)
        return fail(EPROTO, "control socket {}: {} {}: {} {}", socket_path, method, target,
                    result->status, error_text(result->body));
    return result->body;
}

}  // namespace hyper::watch
