// SPDX-License-Identifier: Apache-2.0
// A simulation as a picture: intensities of its zones over time, and below them when each job ran.
#pragma once

#include <string>

#include "scheduler/simulate.h"

namespace hyper::ctl {

// SVG 1.1, whole in itself. The first eight zones that jobs draw from, and the first forty jobs, are shown.
std::string plot_svg(const scheduler::Config& config, const scheduler::Trace& trace, const scheduler::Simulated& simulated, Instant from, Instant until);

}  // namespace hyper::ctl
