// SPDX-License-Identifier: Apache-2.0
// Which disk this is: what ids and times in the headers of views derive from, so that the same source
// gives the same bytes today, tomorrow and on another machine that has the same file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "blockengine/base/hash.h"
#include "blockengine/file.h"

namespace hyper {

struct Identity {
    Hash128 digest{};
    int64_t time_s = 0;  // seconds since 1970 (UTC): when the content was last modified
    bool lasting = true;  // another content has another: false for a far disk that does not say which it has

    // 16 bytes that depend on this identity and on what they are for ("vhd unique id").
    Hash128 derive(std::string_view purpose) const;
    // The same as a random (version 4) UUID in the byte order of its text.
    Hash128 derive_uuid(std::string_view purpose) const;
    // This identity with something more that tells content apart: a snapshot's name, a parent's digest.
    Identity with(std::string_view more) const;
};

// From the file's name (without folders), size and modification time.
Identity identity_of(const File& file);

// "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
std::string uuid_text(const Hash128& uuid);

}  // namespace hyper
