// SPDX-License-Identifier: Apache-2.0
// What signals of a zone say of the hours to come, as decide() takes it: with the issues that it is made of and, in notes, which feed tells what, how
// old that is, what fails and what is used instead. Empty where nothing is known.
#pragma once

#include "carbon/feeds/signals.h"
#include "scheduler/decide.h"

namespace hyper::scheduler {

template <carbon::SignalKind kind>
ZoneOutlook zone_outlook(const carbon::Signals<kind>& signals, const std::string& zone, Instant now);

}  // namespace hyper::scheduler
