// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/locks/rules.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <span>

#include "blockengine/base/setting.h"
#include "nbdserver/locks/config_file.h"

namespace hyper {

namespace {

// An NBD export's name has 4096 bytes at most.
constexpr size_t pattern_bytes_max = 4096;
// A user's or group's entry; getpwnam_r wants a buffer.
constexpr size_t entry_bytes_max = 1024 * 1024;

// Greedy, and back to the last * only, so the time is at most the product of both lengths.
bool matches(std::string_view pattern, std::string_view name) {
    size_t p = 0, n = 0, star = std::string_view::npos, resume = 0;
    while (n < name.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            resume = n;
        } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
            ++p;
            ++n;
        } else if (star != std::string_view::npos) {
            p = star + 1;
            n = ++resume;
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*') ++p;
    return p == pattern.size();
}

bool any_matches(const std::vector<std::string>& patterns, std::string_view name) {
    return std::any_of(patterns.begin(), patterns.end(),
                       [&](const auto& pattern) { return matches(pattern, name); });
}

std::string_view nearest_of(std::string_view word, std::initializer_list<std::string_view> known) {
    return nearest(word, std::span(known.begin(), known.size()));
}

// An entry of the user or group database, by getpwnam_r or getgrnam_r.
template <class Entry, class Get>
Result<Entry> entry_of(Get get, const std::string& name, std::vector<char>& buffer) {
    Entry entry{};
    Entry* found = nullptr;
    int code;
    buffer.resize(4096);
    while ((code = get(name.c_str(), &entry, buffer.data(), buffer.size(), &found)) == ERANGE &&
           buffer.size() < entry_bytes_max)
        buffer.resize(buffer.size() * 4);
    if (found == nullptr)
        return fail(EINVAL, "{}", code != 0 ? errno_text(code) : "it does not exist");
    return entry;
}

std::optional<uint32_t> id_of(std::string_view text) {
    uint32_t id = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    // The largest is no id but "none".
    if (text.empty() || error != std::errc() || end != text.data() + text.size() ||
        id == UINT32_MAX)
        return std::nullopt;
    return id;
}

}  // namespace

// Turns a file into rules. Messages begin with FILE:LINE.
class RulesReader {
  public:
    explicit RulesReader(const std::string& path) : path_(path) {}

    Result<std::shared_ptr<const Rules>> read() {
        std::string text = TRY(read_config_file(path_));
        Setting table = TRY(parse_toml(text, path_));
        auto rules = std::make_shared<Rules>();
        TRY(check(table, {"allow", "limits"}));
        if (const Setting* limits = table.find("limits")) TRY(read_limits(*limits, rules->limits_));
        if (const Setting* allow = table.find("allow")) {
            if (allow->kind != Setting::Kind::list)
                return allow->wrong("allow is a list of tables: [[allow]]");
            for (const Setting& rule : allow->list) rules->rules_.push_back(TRY(read_rule(rule)));
        }
        return rules;
    }

  private:
    static Result<void> check(const Setting& table, std::initializer_list<std::string_view> known) {
        return check_keys(table, std::span(known.begin(), known.size()));
    }

    Result<void> read_limits(const Setting& table, Limits& limits) {
        if (table.kind != Setting::Kind::table)
            return table.wrong("limits is a table: [limits]");
        TRY(check(table, {"connections", "connections_per_peer", "handshake_seconds"}));
        TRY(read_limit(table, "connections", 1'000'000, limits.connections));
        TRY(read_limit(table, "connections_per_peer", 1'000'000, limits.connections_per_peer));
        TRY(read_limit(table, "handshake_seconds", 3600, limits.handshake_seconds));
        return {};
    }

    Result<void> read_limit(const Setting& table, std::string_view key, unsigned most,
                            unsigned& limit) {
        const Setting* value = table.find(key);
        if (value == nullptr) return {};
        if (value->kind != Setting::Kind::integer || value->integer < 1 || value->integer > most)
            return value->wrong(fmt::format("limits.{} is a number from 1 to {}", key, most));
        limit = static_cast<unsigned>(value->integer);
        return {};
    }

    Result<Rules::Rule> read_rule(const Setting& table) {
        if (table.kind != Setting::Kind::table)
            return table.wrong("allow is a list of tables: [[allow]]");
        TRY(check(table, {"who", "read", "write"}));
        Rules::Rule rule;
        auto who = TRY(read_texts(table, "who"));
        if (who.empty()) return table.wrong("allow.who names nobody");
        for (const auto& [text, at] : who) rule.who.push_back(TRY(read_who(text, *at)));
        for (auto& [text, at] : TRY(read_texts(table, "read")))
            rule.read.push_back(TRY(check_pattern(text, *at)));
        for (auto& [text, at] : TRY(read_texts(table, "write")))
            rule.write.push_back(TRY(check_pattern(text, *at)));
        if (rule.read.empty() && rule.write.empty())
            return table.wrong("allow has neither read nor write");
        return rule;
    }

    struct Text {
        std::string text;
        const Setting* at;
    };
    Result<std::vector<Text>> read_texts(const Setting& table, std::string_view key) {
        std::vector<Text> texts;
        const Setting* list = table.find(key);
        if (list == nullptr) return texts;
        auto message = fmt::format("allow.{} is a list of texts: [\"...\"]", key);
        if (list->kind != Setting::Kind::list) return list->wrong(message);
        for (const Setting& element : list->list) {
            if (element.kind != Setting::Kind::text) return element.wrong(message);
            texts.push_back({element.text, &element});
        }
        return texts;
    }

    Result<std::string> check_pattern(const std::string& pattern, const Setting& at) {
        bool control = std::any_of(pattern.begin(), pattern.end(),
                                   [](char c) { return static_cast<unsigned char>(c) < 0x20; });
        if (pattern.empty() || pattern.size() > pattern_bytes_max || control)
            return at.wrong(fmt::format("a pattern has 1 to {} bytes, and no control characters",
                                         pattern_bytes_max));
        return pattern;
    }

    Result<Rules::Who> read_who(const std::string& text, const Setting& at) {
        using Kind = Rules::Who::Kind;
        if (text == "local") return Rules::Who{Kind::local, 0, ""};
        size_t colon = std::min(text.find(':'), text.size());
        std::string kind = text.substr(0, colon),
                    name = text.substr(std::min(colon + 1, text.size()));
        if (colon == text.size() || name.empty())
            return at.wrong(fmt::format("\"{}\" names nobody; did you mean {}?", text,
                                nearest_of(kind, {"uid:1000", "user:NAME", "gid:1000", "group:NAME",
                                               "cert:NAME", "psk:NAME", "local"})));
        if (kind == "uid" || kind == "gid") {
            auto id = id_of(name);
            if (!id)
                return at.wrong(fmt::format("\"{}\": this is no number of a {}", text,
                                             kind == "uid" ? "user" : "group"));
            return Rules::Who{kind == "uid" ? Kind::uid : Kind::gid, *id, ""};
        }
        std::vector<char> buffer;
        if (kind == "user") {
            auto entry = entry_of<passwd>(getpwnam_r, name, buffer);
            if (!entry) return at.wrong(fmt::format("user {}: {}", name, entry.error().message));
            return Rules::Who{Kind::uid, entry->pw_uid, ""};
        }
        if (kind == "group") {
            auto entry = entry_of<group>(getgrnam_r, name, buffer);
            if (!entry) return at.wrong(fmt::format("group {}: {}", name, entry.error().message));
            return Rules::Who{Kind::gid, entry->gr_gid, ""};
        }
        if (kind == "cert") return Rules::Who{Kind::certificate, 0, name};
        if (kind == "psk") return Rules::Who{Kind::psk, 0, name};
        return at.wrong(fmt::format("\"{}\": unknown kind {}; did you mean {}?", text, kind,
                        nearest_of(kind, {"uid", "user", "gid", "group", "cert", "psk", "local"})));
    }

    const std::string& path_;
};

bool Rules::Who::is(const Peer& peer) const {
    switch (kind) {
        case Kind::uid:
            return peer.uid == id;
        case Kind::gid:
            return peer.gid == id ||
                   std::find(peer.groups.begin(), peer.groups.end(), id) != peer.groups.end();
        case Kind::certificate:
            return std::find(peer.certificate_names.begin(), peer.certificate_names.end(), name) !=
                   peer.certificate_names.end();
        case Kind::psk:
            return peer.psk_identity == name;
        case Kind::local:
            return peer.local;
    }
    return false;
}

Result<std::shared_ptr<const Rules>> Rules::load(const std::string& path) {
    return RulesReader(path).read();
}

std::shared_ptr<const Rules> Rules::for_private_socket() {
    auto rules = std::make_shared<Rules>();
    rules->rules_.push_back(
        {{{Who::Kind::uid, geteuid(), ""}, {Who::Kind::uid, 0, ""}}, {}, {"*"}});
    return rules;
}

Access Rules::may(const Peer& peer, std::string_view disk) const {
    Access most = Access::none;
    for (const Rule& rule : rules_) {
        if (std::none_of(rule.who.begin(), rule.who.end(),
                         [&](const Who& who) { return who.is(peer); }))
            continue;
        if (any_matches(rule.write, disk)) return Access::write;
        if (any_matches(rule.read, disk)) most = Access::read;
    }
    return most;
}

}  // namespace hyper
