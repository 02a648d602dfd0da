// SPDX-License-Identifier: Apache-2.0
// Grams against money: what a kWh brings with it at a place, what a policy gives for either, and, of a plan that is made, both apart
// again. All places of one plan are of one kind of intensity (carbon/intensity.h), and of one currency.
#pragma once

#include <span>

#include "scheduler/planner/planner.h"

namespace hyper::scheduler {

// What a kWh is, by time. Prices may be negative. An empty series is not known: it weighs nothing.
struct Place {
    carbon::StepSeries grams_per_kwh{}, money_per_kwh{};
};

// What a policy gives for a gram, and for a unit of money. A part that is 0 need not be known.
struct Worth {
    double gram = 1, money = 0;
};

// One end of a run: where it draws power, and how much.
struct RunEnd {
    const Place* place = nullptr;
    double kw = 1;
};

// The weights of a run with these ends: gram * grams + money * money. Known as far as all series that weigh are; steps as fine
// as the finest needs. Where no series weighs, nothing is known.
Weights weigh(std::span<const RunEnd> ends, const Worth& worth);

// NaN where the series do not say.
struct Spent {
    double grams = 0, money = 0;
};
Spent spent(std::span<const RunEnd> ends, std::span<const TimeRange> runs);

// What was chosen, beside what else could have been.
struct Trade {
    Spent planned;
    Spent at_once;
    Spent greenest;  // had only grams counted
    Spent cheapest;  // had only money counted
};
Trade trade_of(const Task& task, std::span<const RunEnd> ends, std::span<const TimeRange> planned);

}  // namespace hyper::scheduler
