// SPDX-License-Identifier: Apache-2.0
// The real feeds against mock_feeds.py over weeks of a virtual clock, with jobs that are planned by what the chain gives:
//
//     feeds_replay URL TRACE.csv FOLDER DAYS FAIL-FROM-DAY FAIL
//
// From FAIL-FROM-DAY on the share FAIL of all requests fails. A job that takes 2 hours arrives every hour of the days after the eighth and has to
// have ended 24 hours later; it is planned again each hour until it begins. In the middle everything is closed and opened again from what is
// stored. Prints one JSON object.
#include <cmath>
#include <deque>
#include <iostream>

#include "blockengine/base/csv.h"
#include "carbon/feeds/electricity_maps.h"
#include "carbon/feeds/energy_charts.h"
#include "carbon/feeds/gb_carbon_intensity.h"
#include "carbon/feeds/poll_thread.h"
#include "carbon/feeds/watttime.h"
#include "carbon/table_signal.h"
#include "scheduler/planner/planner.h"

namespace hyper::carbon {
namespace {

using namespace std::chrono;
using scheduler::Plan;
using scheduler::Task;
using scheduler::Weights;

constexpr auto call_max = milliseconds(300);
constexpr Seconds window = hours(24), length = hours(2);
constexpr int warm_days = 8;

struct Arguments {
    std::string url, trace, folder;
    int days = 0, fail_from = 0;
    std::string fail;
};

struct Job {
    std::string zone;
    Task task;
};

struct Sums {
    double now = 0, planned = 0, foresight = 0;
    int jobs = 0, missed = 0, without_plan = 0;
    std::map<std::string, int> qualities;  // of the step that is under way, by the hour, since failing began
};

class Replay {
  public:
    explicit Replay(Arguments arguments) : arguments_(std::move(arguments)) {}

    Result<void> run() {
        CsvTable table = TRY(CsvTable::read(arguments_.trace));
        for (auto& [zone, series] : TRY(read_signal_table(table))) actual_.emplace(zone, Weights(series)), first_ = series.start();
        http_ = TRY(Http::start());
        TRY(open());
        first_ += days(2);  // what the first day's history needs
        for (int hour = 0; hour < arguments_.days * 24; hour++) {
            if (hour == arguments_.fail_from * 24) TRY(put("/mock/fail", arguments_.fail));
            if (hour == (arguments_.fail_from + (arguments_.days - arguments_.fail_from) / 2) * 24) {
                average_.reset(), marginal_.reset(), store_.reset();
                TRY(open());
            }
            TRY(poll_until(first_ + hours(hour + 1)));
            plan_all(first_ + hours(hour), hour);
        }
        print();
        return {};
    }

  private:
    Result<void> open() {
        store_ = TRY(FeedStore::open(arguments_.folder + "/feeds"));
        auto caller = [&](FeedAbout about, const std::string& path) {
            return Caller(std::move(about), arguments_.url + path, [this](HttpRequest request) { return counted(std::move(request)); },
                          std::make_shared<CallLimit>(120, 0, ""), call_max);
        };
        std::vector<std::unique_ptr<Feed<SignalKind::average>>> feeds;
        feeds.push_back(std::make_unique<ElectricityMaps>(caller(ElectricityMaps::usual_about(), "/em/v3"), arguments_.folder + "/token"));
        feeds.push_back(std::make_unique<GbCarbonIntensity>(caller(GbCarbonIntensity::usual_about(), "/gb")));
        feeds.push_back(std::make_unique<EnergyCharts>(caller(EnergyCharts::usual_about(), "/ec")));
        average_ = std::make_unique<AverageSignals>(std::move(feeds), store_.get(), 1);
        TRY(average_->add_zone("DE"));
        TRY(average_->add_zone("GB"));
        std::vector<std::unique_ptr<Feed<SignalKind::marginal>>> marginal_feeds;
        FeedAbout hourly = WattTime<SignalKind::marginal>::usual_about();
        hourly.step = hours(1);
        marginal_feeds.push_back(std::make_unique<WattTime<SignalKind::marginal>>(
            caller(hourly, "/wt"), arguments_.folder + "/login", std::map<std::string, std::string>{{"US-CAL-CISO", "CAISO_NORTH"}}));
        marginal_ = std::make_unique<MarginalSignals>(std::move(marginal_feeds), store_.get(), 1);
        return marginal_->add_zone("US-CAL-CISO");
    }

    HttpAnswer counted(HttpRequest request) {
        calls_++;
        int64_t begun = monotonic_ns();
        HttpAnswer answer = http_->ask(std::move(request));
        longest_ns_ = std::max(longest_ns_, monotonic_ns() - begun);
        return answer;
    }

    Result<void> put(const std::string& path, const std::string& text) {
        HttpRequest request;
        request.method = "PUT";
        request.url = arguments_.url + path;
        request.body = std::as_bytes(std::span(text.data(), text.size()));
        request.deadline_ns = monotonic_ns() + 20'000'000'000;
        if (http_->ask(std::move(request)).status != 200) return fail(EIO, "{}: the mock does not answer", path);
        return {};
    }

    // All polls that are due before that.
    Result<void> poll_until(Instant until) {
        for (;;) {
            Instant next = std::min(next_of(*average_), next_of(*marginal_));
            if (next >= until) return {};
            clock_ = std::max(clock_, std::max(next, until - hours(1)));
            TRY(put("/mock/clock", instant_text(clock_)));
            for (size_t feed = 0; feed < average_->feed_count(); feed++) average_->poll(feed, clock_);
            marginal_->poll(0, clock_);
        }
    }
    template <SignalKind kind>
    static Instant next_of(const Signals<kind>& signals) {
        Instant next = Instant::max();
        for (size_t feed = 0; feed < signals.feed_count(); feed++) next = std::min(next, signals.next_poll(feed));
        return next;
    }

    // The beginning of an hour: its jobs arrive, and all that wait are planned. What is known is from before.
    void plan_all(Instant hour_begin, int hour) {
        Instant now = hour_begin + hours(1);  // polls of the hour before are done
        std::map<std::string, Weights> weights;
        for (const char* zone : {"DE", "GB", "US-CAL-CISO"}) {
            bool marginal = zone == std::string("US-CAL-CISO");
            Instant until = now + days(4);
            ZoneOutlook outlook = marginal ? marginal_->outlook(zone, now, until).value() : average_->outlook(zone, now, until).value();
            weights.emplace(zone, Weights(outlook.series));
            if (hour < arguments_.fail_from * 24) continue;
            Quality quality = outlook.qualities.front();
            sums_.qualities[quality_text(quality)]++;
            last_words_ = outlook.words;
            bool can_end = now + window <= first_ + days(arguments_.days);
            Task task{.length = length, .earliest = now, .latest_end = now + window};
            if (hour >= warm_days * 24 && can_end) jobs_.push_back({zone, task});
        }
        std::deque<Job> waiting;
        for (Job& job : jobs_) {
            job.task.earliest = std::max(job.task.earliest, now);
            Plan plan = scheduler::plan(job.task, weights.at(job.zone));
            if (plan.runs.empty()) sums_.without_plan++;
            else if (plan.runs[0].from < now + hours(1)) settle(job, plan.runs[0].from);
            else waiting.push_back(job);
        }
        jobs_ = std::move(waiting);
    }

    void settle(const Job& job, Instant start) {
        const Weights& actual = actual_.at(job.zone);
        Task whole{.length = length, .earliest = job.task.latest_end - window, .latest_end = job.task.latest_end};
        Plan oracle = scheduler::plan(whole, actual);
        sums_.jobs++;
        sums_.missed += start + length > job.task.latest_end;
        sums_.planned += actual.of(start, start + length);
        sums_.now += oracle.weight_now, sums_.foresight += oracle.weight;
    }

    void print() const {
        fmt::print("{{\"calls\": {}, \"longest_ms\": {}, \"jobs\": {}, \"waiting\": {}, \"missed\": {}, \"without_plan\": {}", calls_,
                   longest_ns_ / 1'000'000, sums_.jobs, jobs_.size(), sums_.missed, sums_.without_plan);
        fmt::print(", \"saved_percent\": {:.3f}, \"foresight_percent\": {:.3f}", 100 * (1 - sums_.planned / sums_.now),
                   100 * (1 - sums_.foresight / sums_.now));
        fmt::print(", \"qualities\": {{");
        const char* comma = "";
        for (const auto& [quality, count] : sums_.qualities) fmt::print("{}\"{}\": {}", std::exchange(comma, ", "), quality, count);
        fmt::print("}}, \"words\": [");
        comma = "";
        for (const std::string& line : last_words_) fmt::print("{}\"{}\"", std::exchange(comma, ", "), line);
        fmt::print("]}}\n");
    }

    const Arguments arguments_;
    std::map<std::string, Weights> actual_;
    Instant first_{}, clock_{};
    std::unique_ptr<Http> http_;
    std::unique_ptr<FeedStore> store_;
    std::unique_ptr<AverageSignals> average_;
    std::unique_ptr<MarginalSignals> marginal_;
    std::deque<Job> jobs_;
    Sums sums_;
    int calls_ = 0;
    int64_t longest_ns_ = 0;
    std::vector<std::string> last_words_;
};

}  // namespace
}  // namespace hyper::carbon

int main(int count, char** values) {
    using namespace hyper::carbon;
    if (count != 7) {
        std::cerr << "feeds_replay URL TRACE.csv FOLDER DAYS FAIL-FROM-DAY FAIL\n";
        return 2;
    }
    Replay replay({values[1], values[2], values[3], std::stoi(values[4]), std::stoi(values[5]), values[6]});
    if (auto done = replay.run(); !done) {
        std::cerr << "feeds_replay: " << done.error().message << "\n";
        return 1;
    }
    return 0;
}
