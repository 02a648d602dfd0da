// SPDX-License-Identifier: Apache-2.0
// What electricity costs by the time of day, where one pays for it oneself. A power file is a CSV:
//
//     tariff,zone,window,start,end,price,currency,effective,source
//     office,Europe/Berlin,Mon..Fri 07:00-23:00,,,0.32,EUR,2026-01-01,contract
//     office,Europe/Berlin,*,,,0.24,EUR,2026-01-01,contract
//     agile,,,2026-11-23T16:00Z,2026-11-23T16:30Z,-0.031,GBP,,octopus
//
// A row has either a window (scheduler/calendar/windows.h), on the clock of its zone, or a start and an end. Prices are for a kWh, and may be below 0. At any
// moment a row with a start and an end counts before windows; of windows those of the newest `effective` count, of them the first that is open.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "blockengine/base/csv.h"
#include "carbon/step_series.h"
#include "scheduler/calendar/windows.h"
#include "scheduler/cost/money.h"

namespace hyper::scheduler {

// Immutable, so thread-safe.
class PowerTariff {
  public:
    struct Step {
        Instant from, until;
        Money price;
    };

    const std::string& currency() const { return currency_; }
    // The price of a kWh; nothing where no row says it.
    std::optional<Money> at(Instant instant) const;
    // Where at() may next become another; at most a day later.
    Instant next_change(Instant after) const;
    // What so much energy costs, drawn evenly over [from, until): each stretch of one price is rounded once. ENOENT that names the first moment without a price.
    Result<Money> cost(int64_t watt_hours, Instant from, Instant until) const;
    // For the planner: means over steps, per kWh; a step in which a price is missing is a gap. At most a million steps.
    carbon::StepSeries series(Instant from, Instant until, Seconds step = Seconds(900)) const;

  private:
    friend Result<std::map<std::string, PowerTariff>> read_power_tariffs(const CsvTable& table);
    struct Band {
        Windows window;
        Money price;
    };

    std::string name_, currency_;
    std::map<Instant, std::vector<Band>> bands_;  // by effective
    std::vector<Step> steps_;                     // by time, without overlap
};

// By name. EINVAL with tariff and what is wrong: two currencies in one, steps that overlap, a row with both or neither.
Result<std::map<std::string, PowerTariff>> read_power_tariffs(const CsvTable& table);

}  // namespace hyper::scheduler
