// SPDX-License-Identifier: Apache-2.0
// The keys of jobs and policies, and what they make of what was written.
#pragma once

#include "scheduler/jobs/job.h"
#include "scheduler/jobs/keys.h"

namespace hyper::scheduler {

const Keys<Policy>& policy_keys();
const Keys<Job>& job_keys();
const Keys<GlobalLimits>& limit_keys();

// Looks up calendar, windows and zones from what was written. `setting` is where messages point to.
Result<void> look_up(const Setting& setting, Policy& policy);
// What is legal but will hardly do what was meant, as "WHERE: sentence".
std::vector<std::string> warnings_of(const Setting& setting, const Policy& policy);

}  // namespace hyper::scheduler
