// SPDX-License-Identifier: Apache-2.0
// One binary variable for each start of each job. Starts on the steps are enough: where weights are constant within a step and all lengths are whole
// steps, one of the two steps beside any start is as light, and touches no other steps.
#include <coin/Cbc_C_Interface.h>

#include <memory>

#include "bench/planner/exact.h"
#include "bench/planner/exact_steps.h"

namespace hyper::figures {
namespace {

struct Row {
    std::vector<int> columns;
    std::vector<double> values;
};

class Program {
  public:
    Program() : model_(Cbc_newModel(), Cbc_deleteModel) { Cbc_setLogLevel(model_.get(), 0); }

    int add_binary(double cost) {
        Cbc_addCol(model_.get(), "", 0, 1, cost, 1, 0, nullptr, nullptr);
        return Cbc_getNumCols(model_.get()) - 1;
    }
    // sense: 'L' at most, 'E' equal, 'G' at least.
    void add_row(const Row& row, char sense, double bound) {
        Cbc_addRow(model_.get(), "", int(row.columns.size()), row.columns.data(), row.values.data(), sense, bound);
    }
    std::optional<double> solve() {
        Cbc_setAllowableFractionGap(model_.get(), 0), Cbc_setAllowableGap(model_.get(), 1e-9);
        Cbc_solve(model_.get());
        if (!Cbc_isProvenOptimal(model_.get())) return std::nullopt;
        return Cbc_getObjValue(model_.get());
    }

  private:
    std::unique_ptr<Cbc_Model, void (*)(Cbc_Model*)> model_;
};

}  // namespace

std::optional<double> exact_whole(const scheduler::Fleet& fleet) {
    auto jobs = in_steps(fleet);
    auto steps = int(fleet.steps);
    Program program;
    struct Start {
        int column, step;
    };
    std::vector<std::vector<Start>> starts(jobs.size());
    for (size_t j = 0; j < jobs.size(); j++) {
        const StepJob& job = jobs[j];
        Row one;
        for (int start = std::max(0, job.earliest); start + job.length <= std::min(job.latest_end, steps); start++) {
            double weight = 0;
            bool open = true;
            for (int step = start; step < start + job.length; step++) weight += job.weights[size_t(step)], open = open && job.open[size_t(step)];
            if (!open) continue;
            starts[j].push_back({program.add_binary(weight), start});
            one.columns.push_back(starts[j].back().column), one.values.push_back(1);
        }
        if (starts[j].empty()) return std::nullopt;
        program.add_row(one, 'E', 1);
    }
    auto limit = [&](uint32_t runs_max, const auto& counts) {
        if (runs_max == scheduler::no_limit) return;
        for (int step = 0; step < steps; step++) {
            Row row;
            for (size_t j = 0; j < jobs.size(); j++)
                if (counts(jobs[j]))
                    for (const Start& start : starts[j])
                        if (start.step <= step && step < start.step + jobs[j].length) row.columns.push_back(start.column), row.values.push_back(1);
            if (row.columns.size() > runs_max) program.add_row(row, 'L', runs_max);
        }
    };
    limit(fleet.runs_max, [](const StepJob&) { return true; });
    for (uint32_t i = 0; i < fleet.source_runs_max.size(); i++) limit(fleet.source_runs_max[i], [i](const StepJob& job) { return job.source == i; });
    for (uint32_t i = 0; i < fleet.target_runs_max.size(); i++) limit(fleet.target_runs_max[i], [i](const StepJob& job) { return job.target == i; });
    for (const scheduler::Dependency& each : fleet.dependencies) {
        Row row;
        for (const Start& start : starts[each.job]) row.columns.push_back(start.column), row.values.push_back(start.step);
        for (const Start& start : starts[each.after]) row.columns.push_back(start.column), row.values.push_back(-start.step);
        program.add_row(row, 'G', jobs[each.after].length);
    }
    return program.solve();
}

}  // namespace hyper::figures
