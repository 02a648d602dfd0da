// SPDX-License-Identifier: Apache-2.0
// A signal from a table in a file, which needs no network: a CSV with a column `time` (RFC 3339, UTC without an offset), rising by equal
// steps, and one column a zone, named by its id, in g/kWh. An empty cell, and a row that is left out, is a gap.
#pragma once

#include <map>
#include <string>

#include "blockengine/base/csv.h"
#include "carbon/intensity.h"

namespace hyper::carbon {

// By zone. EINVAL, with the line, where a time does not fit the steps or a cell is no number; a table has at most 4 million steps.
Result<std::map<std::string, StepSeries>> read_signal_table(const CsvTable& table);

template <SignalKind kind>
Result<std::map<std::string, IntensitySeries<kind>>> read_typed_signal_table(const CsvTable& table) {
    std::map<std::string, IntensitySeries<kind>> typed;
    for (auto& [zone, series] : TRY(read_signal_table(table))) typed.emplace(zone, IntensitySeries<kind>(series));
    return typed;
}

}  // namespace hyper::carbon
