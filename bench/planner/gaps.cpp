// SPDX-License-Identifier: Apache-2.0
#include "bench/planner/gaps.h"

#include <algorithm>
#include <numeric>

#include "bench/planner/exact.h"

namespace hyper::figures {

double Gaps::mean() const {
    return shares.empty() ? 0 : std::accumulate(shares.begin(), shares.end(), 0.0) / double(shares.size());
}

double Gaps::worst() const {
    return shares.empty() ? 0 : *std::max_element(shares.begin(), shares.end());
}

int Gaps::exact() const {
    return int(std::count_if(shares.begin(), shares.end(), [](double share) { return share < 1e-4; }));
}

Gaps measure_gaps(const SmallFleetShape& shape, const std::vector<carbon::StepSeries>& zones, int count, uint64_t seed) {
    Gaps gaps;
    for (int i = 0; i < count; i++) {
        scheduler::Fleet fleet = small_fleet(shape, zones, seed + uint64_t(i));
        auto exact = shape.interruptible ? exact_in_pieces(fleet) : exact_whole(fleet);
        auto plan = scheduler::plan_fleet(fleet);
        if (!exact || !plan) {
            gaps.impossible++;
            continue;
        }
        double ours = 0;
        bool forced = false;
        for (const scheduler::FleetRun& run : plan->runs) {
            ours += run.weight;
            forced = forced || run.reason == scheduler::Reason::no_capacity || run.reason == scheduler::Reason::no_window;
        }
        if (forced)
            gaps.missed++;
        else
            gaps.shares.push_back((ours - *exact) / *exact);
    }
    return gaps;
}

}  // namespace hyper::figures
