// SPDX-License-Identifier: Apache-2.0
// The fall-back chain of a zone: step by step the best that is known, and in words what it is and why nothing better is at hand.
//
//     the first feed's forecast --> the next feed's --> an older forecast, as far as it reaches --> the hours of the week --> a table --> unknown
//
// Feeds differ in what they count (direct, life-cycle) and where they draw the line, so where two forecasts are joined the later one is raised or
// lowered by how much the two differ where both are known: a planner would otherwise chase the difference.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "carbon/feeds/feed_memory.h"

namespace hyper::carbon {

// Best first.
enum class Quality : uint8_t { forecast, second_forecast, stored_forecast, profile, table, unknown };
const char* quality_text(Quality quality);

struct ZoneOutlook {
    StepSeries series;               // NaN where unknown
    std::vector<Quality> qualities;  // of each of its steps
    std::vector<std::string> words;  // for people: what fails, then a line for each thing that is used
    std::string issues;              // what it is made of, for ledgers: "electricitymaps 2026-03-01T11:00:00Z + table"
};

// What POST /carbon/status tells.
struct CarbonStatus {
    std::string zone;
    SignalKind signal = SignalKind::average;
    std::optional<double> grams_per_kwh;
    std::string status;          // "excellent" to "very poor", or "unknown"
    std::optional<double> rank;  // within the zone's last 30 days, 0 is the cleanest: what decides
    std::string source;          // the feed's name, "table", or empty
    std::string quality;         // "measured", "estimated", or a quality_text()
    std::optional<Instant> issued_at;  // of a forecast
    std::vector<std::string> words;
};

// Bound to one thread. What it gives is a function of what it was given, in order.
class ZoneChain {
  public:
    // `feeds` in the order in which they are preferred. `table` may be empty; where it ends its hours of the week go on. Without a forecast the
    // outlook has the table's steps.
    ZoneChain(std::string zone, SignalKind kind, std::vector<FeedAbout> feeds, StepSeries table);

    FeedMemory& memory(size_t feed) { return feeds_[feed].memory; }
    const FeedMemory& memory(size_t feed) const { return feeds_[feed].memory; }
    // How the last try went: a failure with the time of the next try, or none.
    void set_failure(size_t feed, std::optional<FeedFailure> failure, Instant next_try);
    bool fails(size_t feed) const { return feeds_[feed].failure.has_value(); }

    // From the step of `now` to `until`.
    ZoneOutlook outlook(Instant now, Instant until) const;
    CarbonStatus status(Instant now) const;
    // Of the first feed that knows all of [from, until), else of the one that knows most of it; the table where no feed has measured anything.
    const StepSeries& measured(Instant from, Instant until) const;

  private:
    struct FeedState {
        FeedAbout about;
        FeedMemory memory;
        std::optional<FeedFailure> failure;
        Instant next_try{};
    };
    // One thing that a step can be of.
    struct Candidate {
        Quality quality = Quality::unknown;
        size_t feed = 0;
        OutlookSource source = OutlookSource::unknown;
    };
    std::vector<Candidate> candidates() const;
    std::string words_of(const Candidate& candidate, Instant now) const;
    std::string issue_of(const Candidate& candidate, Instant now) const;
    std::vector<std::string> failures(Instant now) const;

    const std::string zone_;
    const SignalKind kind_;
    std::vector<FeedState> feeds_;
    const StepSeries table_;
};

// "12:05 UTC", with the day where it is another than that of `now`.
std::string clock_text(Instant instant, Instant now);

}  // namespace hyper::carbon
