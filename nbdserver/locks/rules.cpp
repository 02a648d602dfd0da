// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/locks/rules.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>

// toml++ 3.3 asserts on some malformed files, where an error is due: so its assertions throw, as
// its other errors do, in every kind of build.
namespace hyper {
namespace {
struct BrokenToml {};
constexpr void assert_toml(bool holds) {
    if (!holds) throw BrokenToml();
}
}  // namespace
}  // namespace hyper
#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_ASSERT(...) ::hyper::assert_toml(static_cast<bool>(__VA_ARGS__))
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

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

// How many letters must change (Levenshtein).
size_t distance(std::string_view a, std::string_view b) {
    std::vector<size_t> row(b.size() + 1);
    for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (size_t i = 0; i < a.size(); ++i) {
        size_t diagonal = std::exchange(row[0], i + 1);
        for (size_t j = 0; j < b.size(); ++j) {
            size_t replaced = diagonal + (a[i] != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
        }
    }
    return row.back();
}

std::string_view nearest(std::string_view key, std::initializer_list<std::string_view> known) {
    return *std::min_element(known.begin(), known.end(),
                             [&](auto a, auto b) { return distance(key, a) < distance(key, b); });
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
        toml::table table = TRY(parse(text));
        auto rules = std::make_shared<Rules>();
        TRY(check_keys(table, "", {"allow", "limits"}));
        if (const toml::node* limits = table.get("limits"))
            TRY(read_limits(*limits, rules->limits_));
        if (const toml::node* allow = table.get("allow")) {
            const toml::array* list = allow->as_array();
            if (list == nullptr) return wrong(*allow, "allow is a list of tables: [[allow]]");
            for (const toml::node& rule : *list) rules->rules_.push_back(TRY(read_rule(rule)));
        }
        return rules;
    }

  private:
    Result<toml::table> parse(const std::string& text) {
        try {
            return toml::parse(text, path_);
        } catch (const toml::parse_error& error) {
            return fail(EINVAL, "{}:{}: {}", path_, error.source().begin.line, error.description());
        } catch (const BrokenToml&) {
            return fail(EINVAL, "{}: this is no TOML", path_);
        }
    }

    tl::unexpected<Error> wrong(const toml::node& node, const std::string& message) {
        return fail(EINVAL, "{}:{}: {}", path_, node.source().begin.line, message);
    }

    Result<void> check_keys(const toml::table& table, std::string_view where,
                            std::initializer_list<std::string_view> known) {
        for (const auto& [key, value] : table)
            if (std::find(known.begin(), known.end(), key.str()) == known.end())
                return fail(EINVAL, "{}:{}: unknown key {}{}; did you mean {}?", path_,
                            key.source().begin.line, where, key.str(), nearest(key.str(), known));
        return {};
    }

    Result<void> read_limits(const toml::node& node, Limits& limits) {
        const toml::table* table = node.as_table();
        if (table == nullptr) return wrong(node, "limits is a table: [limits]");
        TRY(check_keys(*table, "limits.",
                       {"connections", "connections_per_peer", "handshake_seconds"}));
        TRY(read_limit(*table, "connections", 1'000'000, limits.connections));
        TRY(read_limit(*table, "connections_per_peer", 1'000'000, limits.connections_per_peer));
        TRY(read_limit(*table, "handshake_seconds", 3600, limits.handshake_seconds));
        return {};
    }

    Result<void> read_limit(const toml::table& table, std::string_view key, unsigned most,
                            unsigned& limit) {
        const toml::node* node = table.get(key);
        if (node == nullptr) return {};
        const toml::value<int64_t>* value = node->as_integer();
        if (value == nullptr || value->get() < 1 || value->get() > most)
            return wrong(*node, fmt::format("limits.{} is a number from 1 to {}", key, most));
        limit = static_cast<unsigned>(value->get());
        return {};
    }

    Result<Rules::Rule> read_rule(const toml::node& node) {
        const toml::table* table = node.as_table();
        if (table == nullptr) return wrong(node, "allow is a list of tables: [[allow]]");
        TRY(check_keys(*table, "allow.", {"who", "read", "write"}));
        Rules::Rule rule;
        auto who = TRY(read_texts(*table, "who"));
        if (who.empty()) return wrong(node, "allow.who names nobody");
        for (const auto& [text, at] : who) rule.who.push_back(TRY(read_who(text, *at)));
        for (auto& [text, at] : TRY(read_texts(*table, "read")))
            rule.read.push_back(TRY(check_pattern(text, *at)));
        for (auto& [text, at] : TRY(read_texts(*table, "write")))
            rule.write.push_back(TRY(check_pattern(text, *at)));
        if (rule.read.empty() && rule.write.empty())
            return wrong(node, "allow has neither read nor write");
        return rule;
    }

    struct Text {
        std::string text;
        const toml::node* at;
    };
    Result<std::vector<Text>> read_texts(const toml::table& table, std::string_view key) {
        std::vector<Text> texts;
        const toml::node* node = table.get(key);
        if (node == nullptr) return texts;
        const toml::array* list = node->as_array();
        if (list == nullptr)
            return wrong(*node, fmt::format("allow.{} is a list of texts: [\"...\"]", key));
        for (const toml::node& element : *list) {
            const toml::value<std::string>* text = element.as_string();
            if (text == nullptr)
                return wrong(element, fmt::format("allow.{} is a list of texts: [\"...\"]", key));
            texts.push_back({text->get(), &element});
        }
        return texts;
    }

    Result<std::string> check_pattern(const std::string& pattern, const toml::node& at) {
        bool control = std::any_of(pattern.begin(), pattern.end(),
                                   [](char c) { return static_cast<unsigned char>(c) < 0x20; });
        if (pattern.empty() || pattern.size() > pattern_bytes_max || control)
            return wrong(at, fmt::format("a pattern has 1 to {} bytes, and no control characters",
                                         pattern_bytes_max));
        return pattern;
    }

    Result<Rules::Who> read_who(const std::string& text, const toml::node& at) {
        using Kind = Rules::Who::Kind;
        if (text == "local") return Rules::Who{Kind::local, 0, ""};
        size_t colon = std::min(text.find(':'), text.size());
        std::string kind = text.substr(0, colon),
                    name = text.substr(std::min(colon + 1, text.size()));
        if (colon == text.size() || name.empty())
            return wrong(
                at, fmt::format("\"{}\" names nobody; did you mean {}?", text,
                                nearest(kind, {"uid:1000", "user:NAME", "gid:1000", "group:NAME",
                                               "cert:NAME", "psk:NAME", "local"})));
        if (kind == "uid" || kind == "gid") {
            auto id = id_of(name);
            if (!id)
                return wrong(at, fmt::format("\"{}\": this is no number of a {}", text,
                                             kind == "uid" ? "user" : "group"));
            return Rules::Who{kind == "uid" ? Kind::uid : Kind::gid, *id, ""};
        }
        std::vector<char> buffer;
        if (kind == "user") {
            auto entry = entry_of<passwd>(getpwnam_r, name, buffer);
            if (!entry) return wrong(at, fmt::format("user {}: {}", name, entry.error().message));
            return Rules::Who{Kind::uid, entry->pw_uid, ""};
        }
        if (kind == "group") {
            auto entry = entry_of<group>(getgrnam_r, name, buffer);
            if (!entry) return wrong(at, fmt::format("group {}: {}", name, entry.error().message));
            return Rules::Who{Kind::gid, entry->gr_gid, ""};
        }
        if (kind == "cert") return Rules::Who{Kind::certificate, 0, name};
        if (kind == "psk") return Rules::Who{Kind::psk, 0, name};
        return wrong(
            at,
            fmt::format("\"{}\": unknown kind {}; did you mean {}?", text, kind,
                        nearest(kind, {"uid", "user", "gid", "group", "cert", "psk", "local"})));
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
