// SPDX-License-Identifier: Apache-2.0
// Figure 1: Sukprasert et al., "On the Limitations of Carbon-Aware Temporal and Spatial Workload Shifting in the Cloud",
// EuroSys 2024. A job may arrive at every hour of the year up to its length before the end; its window is that much longer than
// it as the slack says, cut at the year's end; the planner knows the future.
#include <array>

#include "bench/carbon/figures.h"
#include "bench/carbon/traces.h"
#include "scheduler/planner/planner.h"

namespace hyper::figures {
namespace {

using scheduler::Plan;
using scheduler::Task;
using scheduler::Weights;
using std::chrono::hours;

constexpr std::array<int, 7> job_hours{1, 6, 12, 24, 48, 96, 168};

struct Costs {
    double now, whole, pieces;
};

Costs costs(const Weights& weights, int arrival, int length, int slack) {
    Instant from = weights.start() + hours(arrival);
    Task task{.length = hours(length), .earliest = from, .latest_end = std::min(from + hours(length + slack), weights.end())};
    Plan whole = scheduler::plan(task, weights);
    task.interruptible = true;
    return {whole.weight_now, whole.weight, length == 1 ? whole.weight : scheduler::plan(task, weights).weight};
}

// A table of the paper's result files: "# table=NAME slack_h=24", a header, rows.
Result<CsvTable> paper_table(const std::string& data, const std::string& heading) {
    FILE* file = std::fopen((data + "/ref_sukprasert2022_paper_tables.txt").c_str(), "r");
    if (!file) return fail(errno, "open {}/ref_sukprasert2022_paper_tables.txt: {}", data, errno_text(errno));
    std::string text;
    bool within = false;
    for (char line[4096]; std::fgets(line, sizeof line, file);) {
        if (line[0] == '#')
            within = std::string_view(line).find(heading) != std::string_view::npos;
        else if (within)
            text += line;
    }
    std::fclose(file);
    return CsvTable::parse(text, heading);
}

}  // namespace

Result<void> sukprasert_table(const std::string& data) {
    auto zones = TRY(read_zones(data));
    CsvTable percent = TRY(paper_table(data, "deferrability_and_interruptibility_combined slack_h=24"));
    CsvTable deferring = TRY(paper_table(data, "table=deferrability slack_h=24"));
    CsvTable interrupting = TRY(paper_table(data, "table=interruptibility slack_h=24"));
    size_t global = TRY(deferring.column("Global"));
    std::vector<Weights> weights;
    for (const auto& [name, series] : zones) weights.emplace_back(series);
    for (size_t row = 0; row < job_hours.size(); row++) {
        int length = job_hours[row];
        double percent_deferred = 0, percent_interrupted = 0, grams_deferred = 0, grams_interrupted = 0;
        int arrivals = int(weights[0].size()) - length;
        for (int arrival = 0; arrival < arrivals; arrival++) {
            Costs sum{};
            for (const Weights& zone : weights) {
                Costs one = costs(zone, arrival, length, 24);
                sum.now += one.now, sum.whole += one.whole, sum.pieces += one.pieces;
            }
            percent_deferred += (sum.now - sum.whole) / sum.now * 100;
            percent_interrupted += (sum.whole - sum.pieces) / sum.now * 100;
            grams_deferred += (sum.now - sum.whole) / length / double(weights.size());
            grams_interrupted += (sum.whole - sum.pieces) / length / double(weights.size());
        }
        double want_deferred = TRY(percent.number(0, row + 1)).value_or(-1), want_interrupted = TRY(percent.number(1, row + 1)).value_or(-1);
        std::string job = fmt::format("{} h", length);
        compare(1, "saved by deferring a job of " + job + ", %", want_deferred, percent_deferred / arrivals, 0.001);
        compare(1, "saved besides by interrupting a job of " + job + ", %", want_interrupted, percent_interrupted / arrivals, 0.001);
        if (length > 96) continue;  // of the longest the authors average over slightly other hours
        double want_grams = TRY(deferring.number(row, global)).value_or(-1), want_more = TRY(interrupting.number(row, global)).value_or(-1);
        compare(1, "mean of all zones, deferring a job of " + job + ", g/kWh", want_grams, grams_deferred / arrivals, 0.001);
        compare(1, "mean of all zones, interrupting a job of " + job + ", g/kWh", want_more, grams_interrupted / arrivals, 0.001);
    }
    return {};
}

Result<void> sukprasert_hours(const std::string& data) {
    auto zones = TRY(read_zones(data));
    CsvTable table = TRY(CsvTable::read(data + "/ref_sukprasert2022_hourly_DE_CISO.csv"));
    std::map<std::string, Weights> weights;
    double worst = 0;
    for (size_t row = 0; row < table.row_count(); row++) {
        std::array<double, 6> numbers;  // job_h,slack_h,arrival_hour,run_now,non_interrupt,interrupt
        for (size_t i = 0; i < numbers.size(); i++) numbers[i] = TRY(table.number(row, i + 1)).value_or(-1);
        const std::string& zone = table.cell(row, 0);
        if (!weights.contains(zone)) weights.emplace(zone, Weights(zones.at(zone)));
        Costs one = costs(weights.at(zone), int(numbers[2]), int(numbers[0]), int(numbers[1]));
        worst = std::max({worst, std::abs(one.now - numbers[3]), std::abs(one.whole - numbers[4]), std::abs(one.pieces - numbers[5])});
    }
    compare(1, "largest difference of " + std::to_string(table.row_count()) + " hourly rows (DE, US-CAL-CISO), g/kWh h", 0, worst, 0.01);
    return {};
}

}  // namespace hyper::figures
