// SPDX-License-Identifier: Apache-2.0
// What people and programs are told of a generation.
#pragma once

#include <string>

#include "blockengine/volume/generation.h"
#include "tools/hyperctl/command.h"

namespace hyper::ctl {

Json json_of(const Generation& generation);
Json json_of(const Companion& companion);
// The first digits of the root: enough to tell generations apart.
std::string short_root(const Sha256& root);
// "3 (2026-11-20T02:00:05Z)"
std::string number_and_time(const Generation& generation);

}  // namespace hyper::ctl
