// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/api.h"
#include "scheduler/hyperd/views.h"

namespace hyper::hyperd {

void add_plan_routes(std::vector<Route>& routes, Api& api) {
    routes.push_back({"GET", "/v1/plan", "plan", "What every job does next and why, with the alternatives in grams and money", Scope::read,
                      {{"job", "query", "only this job", 0}}, "", {200, "Plan", "a decision a job, by name"}, [&api](const Call& call) {
                          auto only = call.request.parameter("job");
                          Json list = Json::array();
                          for (const auto& decision : api.daemon.plan())
                              if (!only || decision.job == *only) list.push_back(json_of(decision));
                          if (only && list.empty()) return problem(404, fmt::format("job {}: there is none of that name", *only), {"query.job", Json(*only)});
                          return json_answer({{"decisions", std::move(list)}});
                      }});
}

}  // namespace hyper::hyperd
