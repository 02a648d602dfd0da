// SPDX-License-Identifier: Apache-2.0
// The routes of hyperd, each group in a file of its own: api_jobs.cpp, api_plan.cpp, api_volumes.cpp, api_carbon.cpp, api_cost.cpp, api_service.cpp.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "blockengine/engine.h"
#include "scheduler/hyperd/daemon.h"
#include "scheduler/hyperd/router.h"

namespace hyper::hyperd {

// What handlers work on; outlives every request.
struct Api {
    Daemon& daemon;
    Engine& engine;
    std::string version;
    std::atomic<int> streams{0};  // of events, that are open
};

inline constexpr int streams_max = 16;
inline constexpr uint64_t rows_max = 1000, rows_default = 50;

std::vector<Route> api_routes(Api& api);

void add_job_routes(std::vector<Route>& routes, Api& api);
void add_plan_routes(std::vector<Route>& routes, Api& api);
void add_volume_routes(std::vector<Route>& routes, Api& api);
void add_carbon_routes(std::vector<Route>& routes, Api& api);
void add_cost_routes(std::vector<Route>& routes, Api& api);
// Last: its document is of all that were added before.
void add_service_routes(std::vector<Route>& routes, Api& api);

}  // namespace hyper::hyperd
