// SPDX-License-Identifier: Apache-2.0
// What POST /v1/cost/estimate and /v1/cost/compare take. Reader and schema are made of one table of keys, as those of jobs are.
#pragma once

#include "scheduler/cost/question.h"

namespace hyper::hyperd {

struct EstimateQuestion {
    scheduler::CostQuestion asked;
    std::optional<scheduler::Place> to = {};
};

struct CompareQuestion {
    scheduler::CostQuestion asked;
    std::vector<scheduler::Place> targets = {};
};

// Prices are of `now` unless the question names a day. EINVAL with the key that is wrong.
Result<EstimateQuestion> parse_estimate_question(std::string_view json, Instant now);
Result<CompareQuestion> parse_compare_question(std::string_view json, Instant now);

// JSON Schemas.
std::string estimate_question_schema();
std::string compare_question_schema();

}  // namespace hyper::hyperd
