// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/schedule_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace hyper::ctl {
namespace {

constexpr double left = 90, right = 20, top = 40, plot_width = 1000, plot_height = 260, row_height = 16;
constexpr size_t zones_max = 8, jobs_max = 40, points_max = 2000;
// Distinct also for most who see colours otherwise (Okabe and Ito, 2008).
constexpr const char* colours[zones_max] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#b0a000"};

std::string escaped(const std::string& text) {
    std::string made;
    for (char c : text) {
        if (c == '&')
            made += "&amp;";
        else if (c == '<')
            made += "&lt;";
        else
            made += c;
    }
    return made;
}

// 1, 2 or 5 times a power of ten, so that there are at most `count` of it up to `most`.
double tick_of(double most, int count) {
    double tick = std::pow(10, std::floor(std::log10(std::max(most, 1e-9) / count)));
    for (double factor : {1.0, 2.0, 5.0, 10.0})
        if (most / (tick * factor) <= count) return tick * factor;
    return tick * 10;
}

class Plot {
  public:
    Plot(const scheduler::Config& config, const scheduler::Trace& trace, const scheduler::Simulated& simulated, Instant from, Instant until)
        : config_(config), trace_(trace), simulated_(simulated), from_(from), until_(until) {
        for (const auto& entry : config.jobs)
            for (const std::string& zone : {entry.second.rules.carbon.source_grid, entry.second.rules.carbon.target_grid})
                if (trace.measured.contains(zone) && shown_.size() < zones_max) shown_.insert(zone);
        for (const std::string& zone : shown_) {
            const auto& series = trace.measured.at(zone);
            for (size_t i = 0; i < series.size(); i++)
                if (series.time_of(i) >= from && series.time_of(i) < until && !std::isnan(series.values()[i])) most_ = std::max(most_, series.values()[i]);
        }
    }

    std::string draw() {
        size_t jobs = std::min(jobs_max, config_.jobs.size());
        double rows_top = top + plot_height + 50, height = rows_top + double(jobs) * row_height + 40;
        add("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"11\">\n", left + plot_width + right, height);
        add("<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n");
        draw_axes(rows_top - 20, jobs);
        size_t index = 0;
        for (const std::string& zone : shown_) draw_line(zone, index++);
        draw_runs(rows_top);
        svg_ += "</svg>\n";
        return std::move(svg_);
    }

  private:
    template <class... Args>
    void add(fmt::format_string<Args...> format, Args&&... args) {
        svg_ += fmt::format(format, std::forward<Args>(args)...);
    }

    double x(Instant at) const { return left + plot_width * std::clamp(double((at - from_).count()) / double((until_ - from_).count()), 0.0, 1.0); }
    double y(double grams) const { return top + plot_height * (1 - grams / most_); }

    void draw_axes(double label_y, size_t jobs) {
        add("<text x=\"{}\" y=\"{}\">carbon intensity, gCO2eq/kWh</text>\n", left, top - 24);
        double tick = tick_of(most_, 6);
        for (double grams = 0; grams <= most_; grams += tick) {
            add("<line x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#ddd\"/>\n", left, left + plot_width, y(grams), y(grams));
            add("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{:g}</text>\n", left - 6, y(grams) + 4, grams);
        }
        constexpr int64_t steps[] = {3600, 3 * 3600, 6 * 3600, 86400, 2 * 86400, 7 * 86400, 30 * 86400, 91 * 86400, 365 * 86400};
        int64_t span = (until_ - from_).count(), step = steps[8];
        for (int64_t one : steps)
            if (span / one <= 12) {
                step = one;
                break;
            }
        Instant at(Seconds((from_.time_since_epoch().count() + step - 1) / step * step));
        for (; at <= until_; at += Seconds(step)) {
            add("<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{}\" y2=\"{}\" stroke=\"#eee\"/>\n", x(at), x(at), top, label_y + 20 + double(jobs) * row_height);
            add("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", x(at), top + plot_height + 16, instant_text(at).substr(5, step < 86400 ? 11 : 5));
        }
        add("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">time, UTC</text>\n", left + plot_width, top + plot_height + 32);
    }

    void draw_line(const std::string& zone, size_t index) {
        const auto& series = trace_.measured.at(zone);
        add("<text x=\"{}\" y=\"{}\" fill=\"{}\">{}</text>\n", left + 110 * double(index), top - 8, colours[index], escaped(zone));
        auto shown = static_cast<size_t>((until_ - from_) / series.step()) + 1;
        size_t stride = shown / points_max + 1;
        std::string points;
        auto flush = [&] {
            if (!points.empty()) add("<polyline fill=\"none\" stroke=\"{}\" points=\"{}\"/>\n", colours[index], points);
            points.clear();
        };
        for (size_t i = 0; i < series.size(); i += stride) {
            Instant at = series.time_of(i);
            if (at < from_ || at > until_) continue;
            double value = series.values()[i];
            if (std::isnan(value)) {
                flush();
                continue;
            }
            // A value holds for its whole step.
            points += fmt::format("{:.1f},{:.1f} {:.1f},{:.1f} ", x(at), y(value), x(std::min(until_, Instant(at + series.step() * int64_t(stride)))), y(value));
        }
        flush();
    }

    void draw_runs(double rows_top) {
        std::map<std::string, size_t> rows;
        for (const auto& entry : config_.jobs) {
            if (rows.size() == jobs_max) break;
            size_t row = rows.size();
            rows.emplace(entry.first, row);
            double at = rows_top + row_height * double(row);
            add("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", left - 6, at + 11, escaped(entry.first.substr(0, 14)));
        }
        for (const scheduler::SimulatedRun& run : simulated_.runs) {
            auto row = rows.find(run.job);
            if (row == rows.end()) continue;
            double at = rows_top + row_height * double(row->second) + 2;
            for (const scheduler::TimeRange& stretch : run.stretches)
                add("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\" fill=\"{}\"><title>{} {}: {}</title></rect>\n", x(stretch.from), at,
                    std::max(1.5, x(stretch.until) - x(stretch.from)), row_height - 5, run.succeeded ? "#444" : "#d55e00", escaped(run.job),
                    instant_text(stretch.from), escaped(run.cause));
        }
    }

    const scheduler::Config& config_;
    const scheduler::Trace& trace_;
    const scheduler::Simulated& simulated_;
    Instant from_, until_;
    std::set<std::string> shown_;
    double most_ = 1;
    std::string svg_;
};

}  // namespace

std::string plot_svg(const scheduler::Config& config, const scheduler::Trace& trace, const scheduler::Simulated& simulated, Instant from, Instant until) {
    return Plot(config, trace, simulated, from, until).draw();
}

}  // namespace hyper::ctl
