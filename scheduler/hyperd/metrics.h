// SPDX-License-Identifier: Apache-2.0
// hyperd's metrics in the text format of Prometheus, by prometheus-cpp.
#pragma once

#include <string>
#include <vector>

#include "scheduler/hyperd/daemon.h"

namespace hyper::hyperd {

//     hyperd_jobs{phase}                    gauge
//     hyperd_jobs_at_risk                   gauge, whose recovery point objective is at risk
//     hyperd_job_last_point_seconds{job}    gauge, Unix time of the newest good state; of the first 200 jobs by name
//     hyperd_attempts_total, hyperd_runs_total{outcome}, hyperd_read_bytes_total, hyperd_emitted_grams_total, hyperd_decisions_total
//                                           counters since the start
std::string metrics_text(const std::vector<JobView>& jobs, const std::vector<scheduler::Decision>& decisions, const Counters& counters);

}  // namespace hyper::hyperd
