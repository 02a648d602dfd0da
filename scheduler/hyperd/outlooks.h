// SPDX-License-Identifier: Apache-2.0
// What is expected of the zones that jobs name, by whatever signals the configuration has. Today that is the table in a file, continued by the
// hour-of-week profile; further feeds are added here and nowhere else in hyperd.
#pragma once

#include <map>
#include <string>

#include "scheduler/decide.h"

namespace hyper::hyperd {

// Bound to one thread, or guarded by its owner's mutex.
class Outlooks {
  public:
    using ByZone = std::map<std::string, scheduler::ZoneOutlook>;

    // Reads the configuration's table anew. Errors: those of reading it; then what was read before stays.
    Result<void> load(const scheduler::Config& config);
    // Makes the outlooks of the zones that jobs name, from `now` on.
    void refresh(const scheduler::Config& config, Instant now);

    const ByZone& average() const { return average_; }
    const ByZone& marginal() const { return marginal_; }
    // Of a zone, by today's id; nullptr where nothing is known.
    const carbon::StepSeries* measured(const std::string& zone, carbon::SignalKind kind) const;

  private:
    std::string table_name_;
    std::map<std::string, carbon::StepSeries> table_;
    ByZone average_, marginal_;
};

}  // namespace hyper::hyperd
