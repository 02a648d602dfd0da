// SPDX-License-Identifier: Apache-2.0
// A feed: a service that tells what a grid's intensity was and will be. Each kind of intensity has feeds of its own; none gives both.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "carbon/intensity.h"

namespace hyper::carbon {

enum class FeedProblem {
    not_allowed,    // 401, 403: the token, or what it may ask for
    too_many,       // 429, or the limit that we keep ourselves
    unavailable,    // nobody there, 5xx, no answer in time
    not_offered,    // the service does not know the zone, or has no such data
    garbage,        // an answer that cannot be read, or is about something else than was asked for
    misconfigured,  // the token file, the URL
};

// What is wrong with the whole service: another zone need not be asked for.
constexpr bool is_of_the_service(FeedProblem problem) {
    return problem == FeedProblem::too_many || problem == FeedProblem::unavailable || problem == FeedProblem::misconfigured;
}

struct FeedFailure {
    FeedProblem problem = FeedProblem::unavailable;
    std::string message;    // without the feed's name, and without any secret
    Seconds retry_after{};  // that the service asks for; 0: it said nothing
};

template <class T>
using FeedResult = tl::expected<T, FeedFailure>;

// Values with a mark for those that the service calls estimates.
struct MeasuredSteps {
    StepSeries series;
    std::vector<bool> estimated;  // of each step
};

// What a service said at one time about one zone.
template <SignalKind kind>
struct Report {
    MeasuredSteps measured;                 // of this kind; empty where it told none
    std::optional<Forecast<kind>> forecast;
    std::optional<FeedFailure> missing;     // why one of the two did not come
};

struct FeedAbout {
    std::string name;           // "electricitymaps": stands in messages and names of files
    std::string factor;         // what its grams count: "life-cycle", "direct"
    Seconds step{3600};         // at which it has something new
};

// How old an issue may be and still count as what the feed says now.
inline Seconds fresh_for(const FeedAbout& about) {
    return std::max<Seconds>(std::chrono::hours(1), 3 * about.step);
}

// Bound to one thread at a time.
template <SignalKind kind>
class Feed {
  public:
    virtual ~Feed() = default;
    virtual const FeedAbout& about() const = 0;
    // Whether it has such a zone at all, as far as that is known without asking. Thread-safe.
    virtual bool offers(const std::string& zone) const = 0;
    // Asks the service and waits; each call has a deadline. `now` is what the clock says: it goes into questions, and an answer
    // that says nothing of its issue time, or a later one, counts as issued now.
    virtual FeedResult<Report<kind>> fetch(const std::string& zone, Instant now) = 0;
};

}  // namespace hyper::carbon
