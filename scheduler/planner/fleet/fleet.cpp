// SPDX-License-Identifier: Apache-2.0
#include "scheduler/planner/fleet/fleet.h"

#include <algorithm>

#include "scheduler/planner/fleet/repair.h"

namespace hyper::scheduler {

Result<FleetPlan> plan_fleet(const Fleet& fleet) {
    Frame frame = TRY(Frame::make(fleet));
    FleetOrder order = TRY(FleetOrder::make(fleet, frame));
    Schedule schedule(fleet, frame, order);
    struct Wanting {
        double regret;
        uint32_t job;
    };
    std::vector<Wanting> wanting;
    for (size_t i = 0; i < order.jobs().size(); i++) {
        // What the jobs after this one need is far away in memory.
        if (i + 4 < order.jobs().size()) schedule.expect(order.jobs()[i + 4]);
        uint32_t job = order.jobs()[i];
        FleetRun run = schedule.seek(job);
        if (double regret = schedule.placer().regret(); regret > 0) wanting.push_back({regret, job});
        schedule.put(job, run);
    }
    std::stable_sort(wanting.begin(), wanting.end(), [](const Wanting& a, const Wanting& b) { return a.regret > b.regret; });
    std::vector<uint32_t> jobs;
    for (const Wanting& each : wanting) jobs.push_back(each.job);
    repair(fleet, frame, order, schedule, std::move(jobs));
    return schedule.take_plan();
}

}  // namespace hyper::scheduler
