// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/gate.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>

#include "scheduler/hyperd/problem.h"

namespace hyper::hyperd {

namespace {

constexpr std::string_view own_names[] = {"localhost", "127.0.0.1", "[::1]"};

std::string lower(std::string_view text) {
    std::string made(text);
    std::ranges::transform(made, made.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return made;
}

// Of "NAME:PORT" and "[::1]:PORT".
std::string name_of(std::string_view host) {
    size_t end = host.starts_with('[') ? std::min(host.find(']') + 1, host.size()) : host.find(':');
    return lower(host.substr(0, end));
}

bool is_ours(std::string_view host, const GateRules& rules) {
    std::string name = name_of(host);
    return std::ranges::find(own_names, name) != std::end(own_names) || std::ranges::find(rules.hosts, name) != rules.hosts.end();
}

bool is_json(std::string_view type) {
    std::string_view essence = type.substr(0, type.find(';'));
    while (essence.ends_with(' ')) essence.remove_suffix(1);
    return lower(essence) == "application/json";
}

std::optional<Caller> local_caller(const Peer& peer, const GateRules& rules) {
    if (peer.uid && (*peer.uid == 0 || *peer.uid == ::geteuid())) return Caller{fmt::format("uid {}", *peer.uid), all_scopes};
    bool member = rules.group && (peer.gid == rules.group || std::ranges::find(peer.groups, *rules.group) != peer.groups.end());
    if (member && peer.uid) return Caller{fmt::format("uid {}", *peer.uid), static_cast<uint8_t>(Scope::read) | static_cast<uint8_t>(Scope::run)};
    return std::nullopt;
}

std::optional<Caller> token_caller(const http::Request& request, const GateRules& rules) {
    constexpr std::string_view scheme = "bearer ";
    std::string_view header = request.header("authorization").value_or("");
    if (lower(header.substr(0, scheme.size())) != scheme) return std::nullopt;
    return rules.tokens.find(header.substr(scheme.size()));
}

// What is wrong with how it was asked, whoever asks.
std::optional<http::Answer> wrong_in(const http::Request& request, bool tls, const GateRules& rules) {
    auto host = request.header("host");
    if (!host || (!tls && !is_ours(*host, rules)))
        return problem(421, "the request is for a host that this is not; ask for localhost, or the name that [api] listen has", {"header.Host", host ? Json(*host) : Json()});
    if (auto origin = request.header("origin")) {
        size_t at = origin->find("://");
        bool same = at != std::string_view::npos && lower(origin->substr(at + 3)) == lower(*host);
        if (!same) return problem(403, "a page of another origin asks", {"header.Origin", Json(*origin)});
    }
    if (std::ranges::any_of(request.path, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }))
        return problem(400, "the path holds a control character");
    auto length = request.header("content-length");
    auto type = request.header("content-type");
    bool has_body = length && length->find_first_not_of('0') != std::string_view::npos;
    if ((has_body || type) && !is_json(type.value_or("")))
        return problem(415, "a body must be application/json", {"header.Content-Type", type ? Json(*type) : Json()});
    return std::nullopt;
}

}  // namespace

void Gate::change(GateRules rules) {
    std::lock_guard lock(mutex_);
    rules_ = std::make_shared<const GateRules>(std::move(rules));
}

std::variant<Caller, http::Answer> Gate::judge(const http::Request& request, const Peer& peer, bool tls, RateLimit::Time now) {
    std::shared_ptr<const GateRules> rules;
    std::chrono::milliseconds wait{};
    {
        std::lock_guard lock(mutex_);
        rules = rules_;
        wait = rate_.take(peer.origin, now);
    }
    if (wait.count() > 0) {
        auto answer = problem(429, fmt::format("more than {} requests a second; the next one is let in after {} ms", requests_per_second, wait.count()));
        answer.headers.emplace_back("Retry-After", fmt::to_string((wait.count() + 999) / 1000));
        return answer;
    }
    auto caller = peer.local ? local_caller(peer, *rules) : token_caller(request, *rules);
    if (!caller) {
        auto answer = peer.local ? problem(403, "this user may not use the socket: hyperd's own user, root, and members of [api] group may")
                                 : problem(401, "a token is needed, and this is none that is known (Authorization: Bearer TOKEN)");
        if (!peer.local) answer.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"hyperd\"");
        return answer;
    }
    if (auto wrong = wrong_in(request, tls, *rules)) return std::move(*wrong);
    return *caller;
}

}  // namespace hyper::hyperd
