// SPDX-License-Identifier: Apache-2.0
// Who may ask the API for what. A token file has lines
//
//     NAME SCOPE[,SCOPE] TOKEN            backup-dashboard read 0f9c...
//     NAME SCOPE[,SCOPE] sha256:DIGEST    the same, without the token itself: printf %s TOKEN | sha256sum
//
// Empty lines and those that begin with "#" are skipped. No scope includes another: a token that only starts jobs can read nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "blockengine/base/result.h"
#include "blockengine/base/sha256.h"

namespace hyper::hyperd {

enum class Scope : uint8_t {
    read = 1,   // look at everything but secrets
    run = 2,    // start, pause, resume and cancel jobs
    admin = 4,  // add, change and delete jobs
};
const char* scope_name(Scope scope);

struct Caller {
    std::string name;
    uint8_t scopes = 0;  // a sum of Scope

    bool may(Scope scope) const { return (scopes & static_cast<uint8_t>(scope)) != 0; }
};

inline constexpr uint8_t all_scopes = 7;
inline constexpr size_t token_bytes_min = 32, tokens_max = 1000;

// Immutable, so thread-safe. Only digests are kept.
class Tokens {
  public:
    Tokens() = default;
    // Errors: those of read_secret_file(), as EPERM for a file that others may read; EINVAL with the line, never with what stands in it.
    static Result<Tokens> load(const std::string& path);
    static Result<Tokens> parse(std::string_view text, std::string_view name);

    // Takes as long whatever `token` is: every digest is compared, and each as a whole.
    std::optional<Caller> find(std::string_view token) const;
    bool empty() const { return entries_.empty(); }

  private:
    struct Entry {
        Caller caller;
        Sha256 digest{};
    };
    std::vector<Entry> entries_;
};

}  // namespace hyper::hyperd
