// SPDX-License-Identifier: Apache-2.0
// What services answer, as JSON, by nlohmann-json, which the files of this folder see here alone. Everything that is read is hostile: nothing here
// throws, and what is missing or of another type is an error or nothing.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "blockengine/base/instant.h"

namespace hyper::carbon {

using Json = nlohmann::json;

// EBADMSG unless it is an object.
Result<Json> parse_json(std::string_view text);

// Nothing where the object has no such member, or null.
const Json* member(const Json& object, const char* name);

// A member that has to be there: EBADMSG that names it.
Result<const Json*> array_of(const Json& object, const char* name);
Result<const Json*> object_of(const Json& object, const char* name);
Result<std::string> text_of(const Json& object, const char* name);
Result<Instant> instant_of(const Json& object, const char* name);

// Nothing for null or a missing member; EBADMSG for anything but a number.
Result<std::optional<double>> number_of(const Json& object, const char* name);

// EBADMSG unless it is that text: "zone is \"FR\" where \"DE\" was asked for".
Result<void> expect_text(const Json& object, const char* name, std::string_view expected);

}  // namespace hyper::carbon
