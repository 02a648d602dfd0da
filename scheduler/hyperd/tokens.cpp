// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/tokens.h"

#include <algorithm>
#include <cerrno>

#include "blockengine/base/bytes.h"
#include "blockengine/base/hex.h"
#include "nbdserver/locks/config_file.h"

namespace hyper::hyperd {

namespace {

constexpr Scope scopes[] = {Scope::read, Scope::run, Scope::admin};
constexpr std::string_view digest_mark = "sha256:";

std::vector<std::string_view> words_of(std::string_view line, std::string_view separators) {
    std::vector<std::string_view> words;
    while (!line.empty()) {
        size_t end = std::min(line.find_first_of(separators), line.size());
        if (end > 0) words.push_back(line.substr(0, end));
        line.remove_prefix(std::min(end + 1, line.size()));
    }
    return words;
}

Result<uint8_t> parse_scopes(std::string_view text, const std::string& where) {
    uint8_t sum = 0;
    for (std::string_view word : words_of(text, ",")) {
        auto known = std::ranges::find_if(scopes, [&](Scope scope) { return word == scope_name(scope); });
        if (known == std::end(scopes)) return fail(EINVAL, "{}: the second word is no list of scopes (read, run and admin, with \",\" between)", where);
        sum = static_cast<uint8_t>(sum | static_cast<uint8_t>(*known));
    }
    return sum;
}

bool good_name(std::string_view name) {
    return std::ranges::all_of(name, [](char c) { return c > 0x20 && c < 0x7f; }) && name.size() <= 64;
}

}  // namespace

const char* scope_name(Scope scope) { return scope == Scope::read ? "read" : scope == Scope::run ? "run" : "admin"; }

Result<Tokens> Tokens::load(const std::string& path) {
    Secret text = TRY(read_secret_file(path));
    return parse(text.bytes(), path);
}

Result<Tokens> Tokens::parse(std::string_view text, std::string_view name) {
    Tokens tokens;
    for (int number = 1; !text.empty(); ++number) {
        size_t end = std::min(text.find('\n'), text.size());
        auto words = words_of(text.substr(0, end), " \t\r");
        text.remove_prefix(std::min(end + 1, text.size()));
        if (words.empty() || words[0].starts_with('#')) continue;
        std::string where = fmt::format("{}:{}", name, number);
        if (words.size() != 3) return fail(EINVAL, "{}: has {} words, not the three of NAME SCOPE[,SCOPE] TOKEN", where, words.size());
        if (!good_name(words[0])) return fail(EINVAL, "{}: a name has up to 64 printable ASCII characters", where);
        if (std::ranges::any_of(tokens.entries_, [&](const Entry& entry) { return entry.caller.name == words[0]; }))
            return fail(EINVAL, "{}: the name {} has a token already", where, words[0]);
        if (tokens.entries_.size() == tokens_max) return fail(EINVAL, "{}: there are more than {} tokens", where, tokens_max);
        Entry entry{{std::string(words[0]), TRY(parse_scopes(words[1], where))}, {}};
        if (words[2].starts_with(digest_mark)) {
            if (!parse_hex(words[2].substr(digest_mark.size()), entry.digest))
                return fail(EINVAL, "{}: behind \"sha256:\" stand 64 hexadecimal digits", where);
        } else if (words[2].size() < token_bytes_min) {
            return fail(EINVAL, "{}: the token has {} characters, and {} are needed (openssl rand -hex 32 makes a good one)", where,
                        words[2].size(), token_bytes_min);
        } else {
            entry.digest = sha256({bytes_of_text(words[2])});
        }
        tokens.entries_.push_back(std::move(entry));
    }
    return tokens;
}

std::optional<Caller> Tokens::find(std::string_view token) const {
    Sha256 digest = sha256({bytes_of_text(token)});
    const Entry* found = nullptr;
    for (const Entry& entry : entries_) {
        std::byte difference{};
        for (size_t i = 0; i < digest.size(); ++i) difference |= entry.digest[i] ^ digest[i];
        if (difference == std::byte{}) found = &entry;
    }
    if (found == nullptr) return std::nullopt;
    return found->caller;
}

}  // namespace hyper::hyperd
