// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/hyperd_client.h"

#include <cerrno>

#include "http/unix_client.h"
#include "scheduler/hyperd/paths.h"

namespace hyper::ctl {

namespace {

// hyperd sends something at least every 15 seconds.
constexpr std::chrono::seconds silence_max{40};

tl::unexpected<Error> not_running(const Error& error) {
    return fail(ECONNREFUSED, "{}; does hyperd run? (--socket says where it listens; sync and volume work without it)", error.message);
}

tl::unexpected<Error> refusal(const http::Answer& answer) {
    Json problem = Json::parse(answer.body, nullptr, false);
    std::string text = problem.is_object() && problem.contains("detail") && problem["detail"].is_string() ? problem["detail"].get<std::string>() : fmt::format("it answered {}", answer.status);
    return fail(answer.status == 404 ? ENOENT : EINVAL, "hyperd: {}", text);
}

}  // namespace

void HyperdClient::add_to(CLI::App& command) {
    command.add_option("--socket", socket_, "hyperd's socket")->type_name("PATH");
    command.add_option("--root", root_, "that of hyperd (else $HYPER_ROOT): its socket is DIR/run/hyperd.sock")->type_name("DIR");
}

std::string HyperdClient::socket() const { return socket_.empty() ? hyperd::socket_below(hyperd::root_or_environment(root_)) : socket_; }

Result<Json> HyperdClient::ask(const std::string& method, const std::string& target, const std::string& body) const {
    auto answer = http::ask_unix(socket(), method, target, body);
    if (!answer) return not_running(answer.error());
    if (answer->status < 200 || answer->status > 299) return refusal(*answer);
    Json json = Json::parse(answer->body, nullptr, false);
    if (!json.is_object()) return fail(EPROTO, "{}: {}: the answer is no JSON object", socket(), target);
    return json;
}

// A stream has an end, after which it is asked for again, from the event on that was the last.
Result<void> HyperdClient::follow(const std::function<bool(const Json&)>& take) const {
    std::string last;
    for (bool first = true, more = true; more; first = false) {
        std::string text;
        http::Fields headers;
        if (!last.empty()) headers.emplace_back("Last-Event-ID", last);
        auto answer = http::follow_unix(socket(), "/events", headers, silence_max, [&](std::string_view bytes) {
            text += bytes;
            for (size_t end; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) {
                constexpr std::string_view id_mark = "id: ", data_mark = "data: ";
                std::string_view line(text.data(), end);
                if (line.starts_with(id_mark)) last = line.substr(id_mark.size());
                if (!line.starts_with(data_mark)) continue;
                Json event = Json::parse(line.substr(data_mark.size()), nullptr, false);
                if (event.is_object()) more = more && take(event);
            }
            more = more && !interrupted();
            return more;
        });
        if (!answer && !first) return {};  // hyperd has ended
        if (!answer) return not_running(answer.error());
        if (answer->status != 200) return refusal(*answer);
    }
    return {};
}

}  // namespace hyper::ctl
