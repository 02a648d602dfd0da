// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <map>

namespace hyper::hyperd {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr size_t labelled_jobs_max = 200;

class Families {
  public:
    MetricFamily& begin(const char* name, const char* help, MetricType type) { return families_.emplace_back(MetricFamily{name, help, type, {}}); }
    static void add(MetricFamily& to, double value, const char* label = nullptr, const std::string& of = "") {
        ClientMetric metric;
        if (label != nullptr) metric.label.push_back({label, of});
        (to.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
        to.metric.push_back(std::move(metric));
    }
    void single(const char* name, const char* help, MetricType type, double value) { add(begin(name, help, type), value); }
    std::string text() const { return prometheus::TextSerializer().Serialize(families_); }

  private:
    std::vector<MetricFamily> families_;
};

}  // namespace

std::string metrics_text(const std::vector<JobView>& jobs, const std::vector<scheduler::Decision>& decisions, const Counters& counters) {
    Families families;
    std::map<std::string, double> phases;
    for (auto phase : {scheduler::Phase::waiting, scheduler::Phase::running, scheduler::Phase::retrying, scheduler::Phase::paused, scheduler::Phase::done})
        phases[scheduler::phase_name(phase)] = 0;
    for (const JobView& view : jobs) ++phases[scheduler::phase_name(view.state.phase)];
    auto& by_phase = families.begin("hyperd_jobs", "Jobs by phase", MetricType::Gauge);
    for (const auto& [phase, count] : phases) Families::add(by_phase, count, "phase", phase);
    families.single("hyperd_jobs_at_risk", "Jobs whose recovery point objective is at risk", MetricType::Gauge,
                    static_cast<double>(std::ranges::count_if(decisions, &scheduler::Decision::at_risk)));
    auto& points = families.begin("hyperd_job_last_point_seconds", "Unix time of the newest good state of a job's disk", MetricType::Gauge);
    for (size_t i = 0; i < std::min(jobs.size(), labelled_jobs_max); ++i)
        if (auto point = jobs[i].state.last_point) Families::add(points, static_cast<double>(point->time_since_epoch().count()), "job", jobs[i].job.name);
    families.single("hyperd_attempts_total", "Attempts of runs that were begun", MetricType::Counter, static_cast<double>(counters.attempts));
    auto& runs = families.begin("hyperd_runs_total", "Attempts of runs that ended", MetricType::Counter);
    Families::add(runs, static_cast<double>(counters.succeeded), "outcome", "success");
    Families::add(runs, static_cast<double>(counters.failed), "outcome", "failed");
    Families::add(runs, static_cast<double>(counters.cancelled), "outcome", "cancelled");
    Families::add(runs, static_cast<double>(counters.suspended), "outcome", "to_go_on");
    families.single("hyperd_read_bytes_total", "Bytes that syncs read from their sources", MetricType::Counter, static_cast<double>(counters.read_bytes));
    families.single("hyperd_emitted_grams_total", "Grams of CO2 equivalent of runs whose zones are known, by middle coefficients", MetricType::Counter, counters.grams);
    families.single("hyperd_decisions_total", "Decisions that were written down", MetricType::Counter, static_cast<double>(counters.decisions));
    return families.text();
}

}  // namespace hyper::hyperd
