// SPDX-License-Identifier: Apache-2.0
#include "carbon/feeds/feed_memory.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hyper::carbon {
namespace {

using namespace std::chrono;

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
// A clock that is put back by less was not wrong.
constexpr Seconds clock_slack = minutes(10);

bool same_values(const StepSeries& a, const StepSeries& b) {
    if (a.start() != b.start() || a.step() != b.step() || a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); i++) {
        double x = a.values()[i], y = b.values()[i];
        if (x != y && !(std::isnan(x) && std::isnan(y))) return false;
    }
    return true;
}

// The steps from the first to the last that `wanted` names.
template <class Wanted>
MeasuredSteps part(const MeasuredSteps& steps, Wanted wanted) {
    size_t first = steps.series.size(), end = 0;
    for (size_t i = 0; i < steps.series.size(); i++)
        if (wanted(i)) first = std::min(first, i), end = i + 1;
    if (end == 0) return {};
    auto values = steps.series.values().begin();
    auto marks = steps.estimated.begin();
    auto from = static_cast<std::ptrdiff_t>(first), to = static_cast<std::ptrdiff_t>(end);
    return {StepSeries(steps.series.time_of(first), steps.series.step(), {values + from, values + to}), {marks + from, marks + to}};
}

}  // namespace

std::vector<StoredAnswer> FeedMemory::news(const MeasuredSteps& measured, const StepSeries* forecast, Instant issued_at, Instant now) const {
    std::vector<StoredAnswer> answers;
    issued_at = std::min(issued_at, now);
    MeasuredSteps fresh = part(measured, [&](size_t i) {
        Instant at = measured.series.time_of(i);
        double value = measured.series.values()[i];
        if (std::isnan(value) || at > now) return false;
        return this->measured().at(at) != value || is_estimated(at) != measured.estimated[i];
    });
    if (!fresh.series.empty()) answers.push_back({StoredAnswer::What::measured, now, {}, std::move(fresh)});
    auto known = [&](const StepSeries& series) {
        if (!newest_issue_ || issued_at > *newest_issue_ || was_ahead(now)) return false;
        return issued_at < *newest_issue_ || same_values(series, newest_series_);
    };
    if (forecast != nullptr && !forecast->empty() && !known(*forecast)) {
        MeasuredSteps steps{*forecast, {}};
        answers.push_back({StoredAnswer::What::forecast, now, issued_at, std::move(steps)});
    }
    return answers;
}

void FeedMemory::take(const StoredAnswer& answer) {
    if (answer.steps.series.empty()) return;
    if (answer.what == StoredAnswer::What::measured) take_measured(answer.steps, answer.received_at);
    else take_issue(answer);
}

void FeedMemory::take_stored(const std::vector<StoredAnswer>& answers) {
    Instant newest = Instant::min(), remembered = Instant::min();
    // What came later tells of which the clock was ahead.
    auto right = [&](const StoredAnswer& answer) { return answer.received_at <= answers.back().received_at + clock_slack; };
    for (const StoredAnswer& answer : answers)
        if (answer.what == StoredAnswer::What::forecast && right(answer)) newest = std::max(newest, std::min(answer.issued_at, answer.received_at));
    for (const StoredAnswer& answer : answers) {
        if (answer.what == StoredAnswer::What::forecast) {
            if (!right(answer)) continue;
            bool remembers = remembered == Instant::min() || answer.issued_at - remembered >= ForecastCorrection::issues_apart;
            if (!remembers && answer.issued_at < newest - days(2)) continue;
            if (remembers) remembered = answer.issued_at;
        }
        take(answer);
    }
}

const StepSeries& FeedMemory::measured() const {
    if (!series_) series_.emplace(start_, step_, values_);
    return *series_;
}

bool FeedMemory::is_estimated(Instant instant) const {
    if (instant < start_ || instant >= end()) return false;
    return estimated_[static_cast<size_t>((instant - start_) / step_)];
}

// So that values_ has steps of at most `step` from `from` to `until`; what is older than is kept goes.
void FeedMemory::make_room(Instant from, Instant until, Seconds step, Instant received_at) {
    bool first = values_.empty();
    step = first ? step : std::min(step, step_);
    Instant oldest = received_at - AnswerFile::kept_for;
    Instant start = std::max(first ? from : std::min(from, start_), oldest);
    start = Instant(start.time_since_epoch() / step * step);
    Instant last = std::max(first ? until : std::max(until, end()), start + step);
    auto count = static_cast<size_t>((last - start + step - Seconds(1)) / step);
    // Not at every step: the oldest go by the day.
    if (!first && step == step_ && from >= start_ && start_ + days(1) > oldest) {
        values_.resize(std::max(values_.size(), static_cast<size_t>((last - start_ + step - Seconds(1)) / step)), unknown);
        estimated_.resize(values_.size());
        return;
    }
    std::vector<double> values(count, unknown);
    std::vector<bool> marks(count);
    for (size_t i = 0; i < count && !first; i++) {
        values[i] = measured().at(start + step * i).value_or(unknown);
        marks[i] = is_estimated(start + step * i);
    }
    start_ = start, step_ = step, values_ = std::move(values), estimated_ = std::move(marks);
}

void FeedMemory::take_measured(const MeasuredSteps& steps, Instant received_at) {
    const StepSeries& fresh = steps.series;
    Instant until = std::min(fresh.end(), received_at + fresh.step());
    if (until <= std::max(fresh.start(), received_at - AnswerFile::kept_for)) return;
    make_room(fresh.start(), until, fresh.step(), received_at);
    series_.reset();
    auto first = fresh.start() <= start_ ? 0 : static_cast<size_t>((fresh.start() - start_ + step_ - Seconds(1)) / step_);
    for (size_t i = first; i < values_.size(); i++) {
        Instant at = start_ + step_ * i;
        auto value = fresh.at(at);
        if (at > received_at || at >= until) break;
        if (!value) continue;
        values_[i] = *value;
        estimated_[i] = steps.estimated[static_cast<size_t>((at - fresh.start()) / fresh.step())];
    }
}

bool FeedMemory::was_ahead(Instant now) const { return newest_issue_ && *newest_issue_ > now + clock_slack; }

void FeedMemory::take_issue(const StoredAnswer& answer) {
    const Instant issued_at = std::min(answer.issued_at, answer.received_at);
    if (was_ahead(answer.received_at)) maker_ = OutlookMaker();
    else if (newest_issue_ && issued_at < *newest_issue_) return;
    maker_.add_issue(issued_at, answer.steps.series, measured());
    newest_issue_ = issued_at;
    newest_series_ = answer.steps.series;
}

}  // namespace hyper::carbon
