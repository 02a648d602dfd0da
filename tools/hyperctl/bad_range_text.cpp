// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/bad_range_text.h"

#include <fmt/format.h>

#include "tools/hyperctl/table.h"

namespace hyper::ctl {

std::string_view verdict_name(Verdict verdict) {
    switch (verdict) {
        case Verdict::good: return "good";
        case Verdict::corrupt: return "corrupt";
        case Verdict::could_not_tell: break;
    }
    return "could not tell";
}

std::string text_of(const BadRange& range) {
    return fmt::format("bytes {} to {} ({}): {}: {}", range.offset, range.offset + range.length - 1, human_bytes(range.length),
                       verdict_name(range.verdict), printable(range.why));
}

Json json_of(const BadRange& range) {
    return {{"start", range.offset}, {"length", range.length}, {"verdict", verdict_name(range.verdict)}, {"why", range.why}};
}

ExitCode exit_code_of(Verdict verdict) {
    switch (verdict) {
        case Verdict::good: return exit_ok;
        case Verdict::corrupt: return exit_corrupt;
        case Verdict::could_not_tell: break;
    }
    return exit_could_not_tell;
}

}  // namespace hyper::ctl
