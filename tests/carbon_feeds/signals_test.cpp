// SPDX-License-Identifier: Apache-2.0
// Polling, storing and looking, with feeds that do as they are told.
#include "carbon/feeds/signals.h"

#include <gtest/gtest.h>

#include <future>
#include <set>
#include <thread>

#include "carbon/feeds/poll_thread.h"
#include "tests/carbon_feeds/scratch.h"

namespace hyper::carbon {
namespace {

using namespace std::chrono;

constexpr Instant day = sys_days(2026y / March / 1);
using AverageReport = Report<SignalKind::average>;

AverageReport report(Instant now, double value) {
    Instant hour = floor<hours>(now);
    AverageReport made;
    made.measured = {StepSeries(hour, hours(1), {value}), {false}};
    made.forecast = Forecast<SignalKind::average>{now, AverageSeries(StepSeries(hour, hours(1), std::vector<double>(48, value)))};
    return made;
}

class ToldFeed : public Feed<SignalKind::average> {
  public:
    using Tell = std::function<FeedResult<AverageReport>(const std::string& zone, Instant now)>;
    ToldFeed(std::string name, std::set<std::string> zones, Tell tell)
        : about_{std::move(name), "direct", hours(1)}, zones_(std::move(zones)), tell_(std::move(tell)) {}
    const FeedAbout& about() const override { return about_; }
    bool offers(const std::string& zone) const override { return zones_.contains(zone); }
    FeedResult<AverageReport> fetch(const std::string& zone, Instant now) override { return tell_(zone, now); }

  private:
    FeedAbout about_;
    std::set<std::string> zones_;
    Tell tell_;
};

std::vector<std::unique_ptr<Feed<SignalKind::average>>> feeds(ToldFeed::Tell first, ToldFeed::Tell second = {}) {
    std::vector<std::unique_ptr<Feed<SignalKind::average>>> made;
    made.push_back(std::make_unique<ToldFeed>("first", std::set<std::string>{"DE", "FR"}, std::move(first)));
    if (second) made.push_back(std::make_unique<ToldFeed>("second", std::set<std::string>{"DE"}, std::move(second)));
    return made;
}

FeedResult<AverageReport> failing(FeedProblem problem, const std::string& message) { return tl::unexpected<FeedFailure>({problem, message}); }

TEST(Signals, ask_each_zone_once_a_step) {
    int asked = 0;
    AverageSignals signals(feeds([&](const std::string&, Instant now) {
        asked++;
        return report(now, 200);
    }), nullptr, 1);
    ASSERT_TRUE(signals.add_zone("DE"));
    ASSERT_TRUE(signals.add_zone("FR"));
    EXPECT_LE(signals.next_poll(0), day);
    for (Instant now = day; now < day + hours(6); now += minutes(1)) signals.poll(0, now);
    EXPECT_EQ(asked, 12);
    EXPECT_EQ(signals.status("DE", day + hours(5) + minutes(30))->grams_per_kwh, 200);
}

TEST(Signals, ask_the_feeds_that_offer_a_zone) {
    std::vector<std::string> asked;
    auto note = [&](const std::string& zone, Instant now) {
        asked.push_back(zone);
        return report(now, 200);
    };
    AverageSignals signals(feeds(note, note), nullptr, 1);
    ASSERT_TRUE(signals.add_zone("FR"));
    signals.poll(0, day);
    signals.poll(1, day);
    EXPECT_EQ(asked, std::vector<std::string>{"FR"});
    EXPECT_EQ(signals.next_poll(1), Instant::max());
    EXPECT_EQ(signals.outlook("DE", day, day + hours(1)).error().code, ENOENT);
}

TEST(Signals, ask_for_no_other_zone_of_a_service_that_is_down) {
    int asked = 0;
    AverageSignals signals(feeds([&](const std::string&, Instant) {
        asked++;
        return failing(FeedProblem::unavailable, "503");
    }), nullptr, 1);
    ASSERT_TRUE(signals.add_zone("DE"));
    ASSERT_TRUE(signals.add_zone("FR"));
    signals.poll(0, day);
    EXPECT_EQ(asked, 1);
    signals.poll(0, day);
    EXPECT_EQ(asked, 1) << "not before its next try";
    EXPECT_GT(signals.next_poll(0), day);
    EXPECT_EQ(signals.outlook("FR", day, day + hours(1))->words[0].substr(0, 22), "first: 503, next try 0");
}

TEST(Signals, say_of_a_zone_that_is_added_later_that_its_service_is_down) {
    AverageSignals signals(feeds([](const std::string&, Instant) { return failing(FeedProblem::unavailable, "503"); }), nullptr, 1);
    ASSERT_TRUE(signals.add_zone("DE"));
    signals.poll(0, day);
    ASSERT_TRUE(signals.add_zone("FR"));
    EXPECT_EQ(signals.outlook("FR", day, day + hours(1))->words[0].substr(0, 22), "first: 503, next try 0");
}

TEST(Signals, go_on_with_other_zones_where_one_is_refused) {
    AverageSignals signals(feeds([&](const std::string& zone, Instant now) {
        return zone == "DE" ? failing(FeedProblem::not_allowed, "403") : report(now, 50);
    }), nullptr, 1);
    ASSERT_TRUE(signals.add_zone("DE"));
    ASSERT_TRUE(signals.add_zone("FR"));
    signals.poll(0, day);
    EXPECT_EQ(signals.status("FR", day)->grams_per_kwh, 50);
    EXPECT_EQ(signals.status("DE", day)->status, "unknown");
}

TEST(Signals, fall_back_to_the_second_feed_and_come_back) {
    bool down = false;
    AverageSignals signals(feeds([&](const std::string&, Instant now) { return down ? failing(FeedProblem::unavailable, "503") : report(now, 300); },
                                 [&](const std::string&, Instant now) { return report(now, 280); }), nullptr, 1);
    ASSERT_TRUE(signals.add_zone("DE"));
    auto run = [&](Instant from, Instant until) {
        for (Instant now = from; now < until; now += minutes(1)) signals.poll(0, now), signals.poll(1, now);
        return signals.outlook("DE", until, until + hours(12))->qualities.front();
    };
    EXPECT_EQ(run(day, day + hours(6)), Quality::forecast);
    down = true;
    EXPECT_EQ(run(day + hours(6), day + hours(12)), Quality::second_forecast);
    down = false;
    EXPECT_EQ(run(day + hours(12), day + hours(15)), Quality::forecast);
}

TEST(Signals, take_the_feeds_that_a_zone_names_in_its_order) {
    auto says = [](double value) { return [value](const std::string&, Instant now) { return report(now, value); }; };
    AverageSignals signals(feeds(says(300), says(280)), nullptr, 1);
    ASSERT_TRUE(signals.add_zone("DE", {}, std::vector<std::string>{"second", "of another kind", "first"}));
    ASSERT_TRUE(signals.add_zone("FR", {}, std::vector<std::string>{"second"}));
    for (size_t feed : {0, 1}) signals.poll(feed, day);
    EXPECT_EQ(signals.status("DE", day)->source, "second");
    EXPECT_EQ(signals.status("FR", day)->quality, "unknown") << "the first offers it, but was not named";
    EXPECT_EQ(signals.outlook("FR", day, day + hours(1))->words[0], "no feed of its average intensity is configured");
}

TEST(Signals, tell_what_is_news) {
    bool down = false;
    AverageSignals signals(feeds([&](const std::string&, Instant now) {
        return down ? failing(FeedProblem::unavailable, "503") : FeedResult<AverageReport>(report(floor<hours>(now), 200));
    }), nullptr, 1);
    ASSERT_TRUE(signals.add_zone("DE"));
    auto poll = [&] { return signals.poll(0, signals.next_poll(0) < day ? day : signals.next_poll(0)); };
    EXPECT_TRUE(poll());
    EXPECT_FALSE(signals.poll(0, day)) << "nothing is due";
    EXPECT_TRUE(poll());
    down = true;
    EXPECT_TRUE(poll()) << "it fails";
    EXPECT_FALSE(poll()) << "still";
    down = false;
    EXPECT_TRUE(poll());
}

TEST(Signals, hold_no_call_that_was_ended_against_the_service) {
    bool ended = false;
    AverageSignals signals(feeds([&](const std::string&, Instant) {
        ended = true;
        return failing(FeedProblem::unavailable, "given up");
    }), nullptr, 1);
    ASSERT_TRUE(signals.add_zone("DE"));
    EXPECT_FALSE(signals.poll(0, day, [&] { return ended; }));
    EXPECT_LE(signals.next_poll(0), day);
    EXPECT_EQ(signals.outlook("DE", day, day + hours(1))->words.size(), 1u);
}

TEST(Signals, know_after_a_restart_what_was_stored) {
    Scratch scratch;
    auto tell = [](const std::string&, Instant now) { return report(now, 321); };
    {
        auto store = FeedStore::open(scratch.path("feeds")).value();
        AverageSignals signals(feeds(tell), store.get(), 1);
        ASSERT_TRUE(signals.add_zone("DE"));
        for (Instant now = day; now < day + days(9); now += minutes(10)) signals.poll(0, now);
    }
    auto store = FeedStore::open(scratch.path("feeds")).value();
    AverageSignals signals(feeds([](const std::string&, Instant) { return failing(FeedProblem::unavailable, "503"); }), store.get(), 2);
    ASSERT_TRUE(signals.add_zone("DE"));
    Instant now = day + days(9) + minutes(5);
    EXPECT_EQ(signals.status("DE", now - minutes(10))->grams_per_kwh, 321);
    EXPECT_NE(signals.status("DE", now)->rank, std::nullopt);
    ZoneOutlook outlook = *signals.outlook("DE", now, now + days(3));
    EXPECT_EQ(outlook.qualities.front(), Quality::forecast);
    EXPECT_EQ(outlook.qualities.back(), Quality::profile);
    EXPECT_EQ(signals.outlook("DE", now + hours(6), now + days(3))->qualities.front(), Quality::stored_forecast);
}

TEST(Signals, never_wait_for_a_service_when_they_are_looked_at) {
    std::promise<void> asked, go_on;
    AverageSignals signals(feeds([&](const std::string&, Instant now) {
        asked.set_value();
        go_on.get_future().wait();
        return report(now, 200);
    }), nullptr, 1);
    ASSERT_TRUE(signals.add_zone("DE"));
    std::thread slow([&] { signals.poll(0, day); });
    asked.get_future().wait();
    EXPECT_TRUE(signals.outlook("DE", day, day + hours(1)));
    signals.poll(0, day);  // single flight: returns at once, asks nothing
    go_on.set_value();
    slow.join();
    EXPECT_EQ(signals.status("DE", day)->grams_per_kwh, 200);
}

TEST(Signals, are_polled_by_threads_until_they_end) {
    std::promise<void> both;
    std::atomic<int> asked = 0;
    auto tell = [&](const std::string&, Instant now) {
        if (++asked == 2) both.set_value();
        return report(now, 200);
    };
    AverageSignals signals(feeds(tell, tell), nullptr, 1);
    ASSERT_TRUE(signals.add_zone("DE"));
    Stop stop;
    PollThreads threads([] { return day; }, stop);
    threads.add(signals);
    both.get_future().wait();
}

TEST(Signals, ask_at_once_for_a_zone_that_is_added_while_they_are_polled) {
    std::promise<void> first, second;
    AverageSignals signals(feeds([&](const std::string&, Instant now) { return report(now, 200); }), nullptr, 1);
    ASSERT_TRUE(signals.add_zone("DE"));
    std::atomic<int> told = 0;
    Stop stop;
    PollThreads threads([] { return day; }, stop, [&] { ++told == 1 ? first.set_value() : second.set_value(); });
    threads.add(signals);
    first.get_future().wait();
    auto begun = steady_clock::now();
    ASSERT_TRUE(signals.add_zone("FR"));
    threads.wake();
    second.get_future().wait();
    EXPECT_LT(steady_clock::now() - begun, seconds(30)) << "threads sleep for a minute";
    EXPECT_EQ(signals.status("FR", day)->grams_per_kwh, 200);
}

}  // namespace
}  // namespace hyper::carbon
