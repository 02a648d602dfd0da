// SPDX-License-Identifier: Apache-2.0
// What people and programs are told of a range that is not as it was, for verify and repair.
#pragma once

#include <string>
#include <string_view>

#include "blockengine/volume/verify.h"
#include "tools/hyperctl/command.h"

namespace hyper::ctl {

// "good", "corrupt", "could not tell"
std::string_view verdict_name(Verdict verdict);
// "bytes 65536 to 131071 (64 KiB): corrupt: ..."
std::string text_of(const BadRange& range);
Json json_of(const BadRange& range);
ExitCode exit_code_of(Verdict verdict);

}  // namespace hyper::ctl
