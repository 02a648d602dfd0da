// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/power.h"

#include <algorithm>
#include <cerrno>
#include <limits>

namespace hyper::scheduler {
namespace {

constexpr size_t series_steps_max = 1'000'000;
constexpr double nanos_per_unit = 1e9;

struct Row {
    std::string zone, window, start, end;
};

}  // namespace

std::optional<Money> PowerTariff::at(Instant instant) const {
    auto after = std::upper_bound(steps_.begin(), steps_.end(), instant, [](Instant at, const Step& step) { return at < step.from; });
    if (after != steps_.begin() && instant < std::prev(after)->until) return std::prev(after)->price;
    auto newer = bands_.upper_bound(instant);
    if (newer == bands_.begin()) return std::nullopt;
    for (const Band& band : std::prev(newer)->second)
        if (band.window.open(instant)) return band.price;
    return std::nullopt;
}

Instant PowerTariff::next_change(Instant after) const {
    Instant next = after + std::chrono::days(1);
    auto step = std::upper_bound(steps_.begin(), steps_.end(), after, [](Instant at, const Step& one) { return at < one.from; });
    if (step != steps_.end()) next = std::min(next, step->from);
    if (step != steps_.begin() && std::prev(step)->until > after) next = std::min(next, std::prev(step)->until);
    auto newer = bands_.upper_bound(after);
    if (newer != bands_.end()) next = std::min(next, newer->first);
    if (newer == bands_.begin()) return next;
    for (const Band& band : std::prev(newer)->second)
        if (auto change = band.window.next_change(after, std::chrono::days(2))) next = std::min(next, *change);
    return next;
}

Result<Money> PowerTariff::cost(int64_t watt_hours, Instant from, Instant until) const {
    if (from >= until || watt_hours < 0) return fail(EINVAL, "{}: {} Wh from {} to {} are no use", name_, watt_hours, instant_text(from), instant_text(until));
    __extension__ using Wide = __int128;
    Money sum;
    int64_t seconds = (until - from).count(), used = 0;
    for (Instant at = from; at < until;) {
        auto price = this->at(at);
        if (!price) return fail(ENOENT, "power tariff {}: no price at {}", name_, instant_text(at));
        Instant next = std::min(until, next_change(at));
        // Whole watt-hours that were drawn until then, so that the parts add up to all.
        auto until_then = int64_t(Wide(watt_hours) * (next - from).count() / seconds);
        Money part = TRY(amount_of(*price, until_then - used, 1000));
        if (__builtin_add_overflow(sum.nanos, part.nanos, &sum.nanos)) return fail(ERANGE, "power tariff {}: the cost does not fit", name_);
        used = until_then, at = next;
    }
    return sum;
}

carbon::StepSeries PowerTariff::series(Instant from, Instant until, Seconds step) const {
    std::vector<double> values;
    for (Instant begin = from; begin < until && values.size() < series_steps_max; begin += step) {
        double sum = 0;
        for (Instant at = begin; at < begin + step;) {
            Instant next = std::min(begin + step, next_change(at));
            auto price = this->at(at);
            sum += price ? double(price->nanos) / nanos_per_unit * double((next - at).count()) : std::numeric_limits<double>::quiet_NaN();
            at = next;
        }
        values.push_back(sum / double(step.count()));
    }
    return carbon::StepSeries(from, step, std::move(values));
}

Result<std::map<std::string, PowerTariff>> read_power_tariffs(const CsvTable& table) {
    size_t column[8];
    constexpr std::string_view names[8] = {"tariff", "zone", "window", "start", "end", "price", "currency", "effective"};
    for (size_t i = 0; i < 8; i++) column[i] = TRY(table.column(names[i]));
    std::map<std::string, PowerTariff> tariffs;
    for (size_t row = 0; row < table.row_count(); row++) {
        auto cell = [&](size_t i) -> const std::string& { return table.cell(row, column[i]); };
        const std::string& name = cell(0);
        Row text{cell(1), cell(2), cell(3), cell(4)};
        PowerTariff& tariff = tariffs[name];
        if (!tariff.currency_.empty() && tariff.currency_ != cell(6)) return fail(EINVAL, "power tariff {}: two currencies", name);
        tariff.name_ = name, tariff.currency_ = cell(6);
        auto made = [&](size_t i, auto result) { return table.made_of(row, column[i], std::move(result)); };
        Money price = TRY(made(5, parse_money(cell(5))));
        if (text.window.empty() == text.start.empty() || text.start.empty() != text.end.empty())
            return fail(EINVAL, "power tariff {}: row {}: either a window, or a start and an end", name, row + 1);
        if (text.window.empty()) {
            PowerTariff::Step step{TRY(made(3, parse_instant(text.start))), TRY(made(4, parse_instant(text.end))), price};
            if (step.from >= step.until) return fail(EINVAL, "power tariff {}: {} is not before {}", name, text.start, text.end);
            tariff.steps_.push_back(step);
            continue;
        }
        TimeZone zone = text.zone.empty() ? TimeZone::utc() : TRY(made(1, TimeZone::find(text.zone)));
        Instant effective = cell(7).empty() ? Instant::min() : TRY(made(7, parse_instant(cell(7))));
        tariff.bands_[effective].push_back({TRY(made(2, Windows::parse(std::span(&text.window, 1), {}, std::move(zone)))), price});
    }
    for (auto& [name, tariff] : tariffs) {
        auto& steps = tariff.steps_;
        std::sort(steps.begin(), steps.end(), [](const auto& a, const auto& b) { return a.from < b.from; });
        for (size_t i = 1; i < steps.size(); i++)
            if (steps[i].from < steps[i - 1].until) return fail(EINVAL, "power tariff {}: two prices at {}", name, instant_text(steps[i].from));
    }
    return tariffs;
}

}  // namespace hyper::scheduler
