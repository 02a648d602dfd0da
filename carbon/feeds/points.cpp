// SPDX-License-Identifier: Apache-2.0
#include "carbon/feeds/points.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <limits>
#include <numeric>

namespace hyper::carbon {
namespace {

constexpr Seconds step_min{60};

}  // namespace

Result<MeasuredSteps> steps_of(std::vector<Point> points, Seconds usual_step) {
    if (points.empty()) return MeasuredSteps{};
    std::stable_sort(points.begin(), points.end(), [](const Point& a, const Point& b) { return a.at < b.at; });
    Seconds step = Seconds::max();
    for (size_t i = 1; i < points.size(); i++)
        if (points[i].at != points[i - 1].at) step = std::min(step, points[i].at - points[i - 1].at);
    // A gap is no longer step.
    if (step == Seconds::max()) step = usual_step;
    else if (step > usual_step) step = Seconds(std::gcd(step.count(), usual_step.count()));
    if (step < step_min) return fail(EBADMSG, "{} and another value are {} s apart", instant_text(points[0].at), step.count());
    auto last = static_cast<uint64_t>((points.back().at - points.front().at) / step);
    if (last >= points_max)
        return fail(EBADMSG, "values from {} to {} at steps of {} s, where {} steps are the most", instant_text(points.front().at),
                    instant_text(points.back().at), step.count(), points_max);
    std::vector<double> values(last + 1, std::numeric_limits<double>::quiet_NaN());
    MeasuredSteps steps;
    steps.estimated.resize(values.size());
    for (const Point& point : points) {
        Seconds since = point.at - points.front().at;
        if (since % step != Seconds(0)) return fail(EBADMSG, "{} is not at a step of {} s", instant_text(point.at), step.count());
        if (!(std::abs(point.grams_per_kwh) <= grams_per_kwh_max))
            return fail(EBADMSG, "{} at {} can be no g/kWh", point.grams_per_kwh, instant_text(point.at));
        auto index = static_cast<size_t>(since / step);
        values[index] = point.grams_per_kwh;
        steps.estimated[index] = point.estimated;
    }
    steps.series = StepSeries(points.front().at, step, std::move(values));
    return steps;
}

}  // namespace hyper::carbon
