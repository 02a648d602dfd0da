// SPDX-License-Identifier: Apache-2.0
// States and rows as JSON texts: how the store keeps them, and how the API and --json show them. Times are RFC 3339, money is decimal text.
#pragma once

#include <string>
#include <string_view>

#include "scheduler/state/ledger.h"

namespace hyper::scheduler {

std::string state_json(const JobState& state);
// EINVAL for what state_json() did not write.
Result<JobState> parse_state_json(std::string_view json);

std::string run_json(const RunRow& row);
Result<RunRow> parse_run_json(std::string_view json);

std::string decision_json(const DecisionRow& row);
Result<DecisionRow> parse_decision_json(std::string_view json);

}  // namespace hyper::scheduler
