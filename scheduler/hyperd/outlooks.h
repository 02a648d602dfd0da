// SPDX-License-Identifier: Apache-2.0
// What is expected of the zones that jobs name, and what was measured there: by the configuration's feeds, in the order that each zone has, and by
// its table as the last of the chain. Nowhere else does hyperd ask or look.
//
//     services --threads--> carbon::Signals --refresh()--> decide()
//                                           --measured()--> settle()
//                                           --status()--> the API
//
// Threads ask the services between start_polling() and stop_polling(); all else gives what is known, and waits for nobody.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "carbon/feeds/poll_thread.h"
#include "scheduler/decide.h"

namespace hyper::hyperd {

// What a configuration asks for, made but not in force.
struct Sources {
    std::vector<std::unique_ptr<carbon::Feed<carbon::SignalKind::average>>> average;
    std::vector<std::unique_ptr<carbon::Feed<carbon::SignalKind::marginal>>> marginal;
    std::map<std::string, carbon::StepSeries> table;  // average intensities, by zone
};

// Whether a configuration's feeds can be, also their token files, and its table. Asks nobody. Errors: EINVAL with `file` and key; what reading gives.
Result<void> check_sources(const scheduler::Config& config, const std::string& file);

// Bound to one thread, or guarded by its owner's mutex, unless said otherwise.
class Outlooks {
  public:
    using ByZone = std::map<std::string, scheduler::ZoneOutlook>;
    using Clock = carbon::PollThreads::Clock;

    // What services said is kept in `folder`. `ask` asks them instead of HTTP. Errors: those of FeedStore::open() and Http::start().
    static Result<std::unique_ptr<Outlooks>> open(const std::string& folder, uint64_t seed, carbon::AskHttp ask = {});
    ~Outlooks();

    // Errors: as check_sources(), which looks at token files besides.
    Result<Sources> make(const scheduler::Config& config, const std::string& file) const;
    // These count from now on, with the zones that jobs name. Nobody polls meanwhile.
    void use(Sources sources, const scheduler::Config& config);
    // Zones that jobs name by now are asked about, too.
    void add_zones(const scheduler::Config& config);

    // Both are for one thread, and not under the owner's mutex: `news` is called when something new is known, by a thread that is waited for. To stop
    // takes a second or so.
    void start_polling(Clock clock, std::function<void()> news);
    void stop_polling();

    // Makes the outlooks of the zones that jobs name, from `now` on.
    void refresh(const scheduler::Config& config, Instant now);
    const ByZone& average() const { return average_; }
    const ByZone& marginal() const { return marginal_; }
    // Of a zone, by today's id: what a feed has measured that tells most of [from, until) (ZoneChain::measured()); nothing where nothing was.
    std::optional<carbon::StepSeries> measured(const std::string& zone, carbon::SignalKind kind, Instant from, Instant until) const;
    // ENOENT for a zone that no job names with that signal.
    Result<carbon::CarbonStatus> status(const std::string& zone, carbon::SignalKind kind, Instant now) const;

  private:
    Outlooks(std::unique_ptr<carbon::FeedStore> store, uint64_t seed) : store_(std::move(store)), seed_(seed) {}

    const std::unique_ptr<carbon::FeedStore> store_;
    const uint64_t seed_;
    carbon::Stop stop_;
    std::unique_ptr<Http> http_;
    carbon::AskHttp ask_;
    std::map<std::string, carbon::StepSeries> table_;
    std::unique_ptr<carbon::AverageSignals> average_signals_;
    std::unique_ptr<carbon::MarginalSignals> marginal_signals_;
    ByZone average_, marginal_;
    std::mutex threads_mutex_;
    std::unique_ptr<carbon::PollThreads> threads_;  // guarded by threads_mutex_; ends before what it polls
};

}  // namespace hyper::hyperd
