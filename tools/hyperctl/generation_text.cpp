// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/generation_text.h"

#include <fmt/format.h>

#include "blockengine/base/hex.h"

namespace hyper::ctl {

Json json_of(const Generation& generation) {
    Json json{{"generation", generation.number},     {"time", utc_text(generation.time)},
              {"size", generation.size_bytes},       {"changed-bytes", generation.changed_bytes},
              {"stored-bytes", generation.stored_bytes}, {"root", hex(generation.root)},
              {"source", generation.origin.source},  {"change-id", generation.origin.change_id},
              {"pinned", generation.pinned}};
    for (const Companion& one : generation.companions) json["companions"].push_back(json_of(one));
    if (!generation.draft_id.empty()) json["draft"] = generation.draft_id;
    if (!generation.run.empty()) json["run"] = generation.run;
    return json;
}

Json json_of(const Companion& companion) {
    return {{"name", companion.name}, {"size", companion.size_bytes}, {"sha256", hex(companion.hash)}};
}

std::string short_root(const Sha256& root) { return hex(root).substr(0, 12); }

std::string number_and_time(const Generation& generation) {
    return fmt::format("{} ({})", generation.number, utc_text(generation.time));
}

}  // namespace hyper::ctl
