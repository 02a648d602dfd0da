// SPDX-License-Identifier: Apache-2.0
#include "scheduler/jobs/policy_keys.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "carbon/zones.h"
#include "scheduler/cost/keys.h"

namespace hyper::scheduler {
namespace {

constexpr std::string_view duration_pattern = "^([0-9]{1,9}[wdhms])+$";

Kind<Seconds> duration() {
    return parsed<Seconds>(duration_pattern, parse_duration);
}

Result<Seconds> parse_positive(std::string_view text) {
    Seconds made = TRY(parse_duration(text));
    if (made.count() == 0) return fail(EINVAL, "\"{}\" is no time at all (try 24h)", text);
    return made;
}

Kind<Seconds> positive_duration() {
    return parsed<Seconds>(duration_pattern, parse_positive);
}

Result<uint64_t> parse_rate(std::string_view text) {
    static constexpr std::pair<std::string_view, uint64_t> units[] = {{"B/s", 1},           {"KiB/s", 1ull << 10},      {"MiB/s", 1ull << 20}, {"GiB/s", 1ull << 30},
                                                                      {"kB/s", 1000}, {"MB/s", 1'000'000}, {"GB/s", 1'000'000'000}};
    uint64_t number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
    for (const auto& known : units)
        if (error == std::errc() && number > 0 && number <= 1'000'000 && unit == known.first) return number * known.second;
    return fail(EINVAL, "\"{}\" is no rate (try 50MiB/s; units: B/s, KiB/s, MiB/s, GiB/s, kB/s, MB/s, GB/s)", text.substr(0, 32));
}

Result<Money> parse_amount(std::string_view text) {
    Money money = TRY(parse_money(text));
    if (money.nanos < 0) return fail(EINVAL, "\"{}\" is below 0", text.substr(0, 32));
    return money;
}

Result<std::string> parse_currency(std::string_view text) {
    bool good = text.size() == 3;
    for (char c : text) good = good && c >= 'A' && c <= 'Z';
    if (!good) return fail(EINVAL, "\"{}\" is no currency (three capital letters: EUR)", text.substr(0, 32));
    return std::string(text);
}

Result<std::string> parse_place_name(std::string_view text) {
    TRY(parse_place(text));
    return std::string(text);
}

Result<std::string> parse_window_text(std::string_view text) {
    TRY(parse_window(text));
    return std::string(text);
}

Kind<std::string> window() {
    return parsed<std::string>(".", parse_window_text);
}

Result<std::string> parse_zone_name(std::string_view text) {
    TRY(carbon::find_zone(text));
    return std::string(text);
}

Result<std::string> parse_time_zone(std::string_view text) {
    TRY(TimeZone::find(text));
    return std::string(text);
}

Result<Schedule> parse_between(std::string_view text) {
    Schedule made;
    made.text = text;
    made.elastic = TRY(parse_elastic(text));
    return made;
}

// Calendars stay text until the time zone is known, too.
Kind<Schedule> schedule() {
    Kind<Schedule> between = parsed<Schedule>("^([0-9]{1,9}[wdhms])+\\.\\.([0-9]{1,9}[wdhms])+$", parse_between);
    Kind<std::string> calendar = text();
    Schema table = {{"type", "object"}, {"properties", {{"between", between.schema}}}, {"required", {"between"}}, {"additionalProperties", false}};
    return {{{"anyOf", {calendar.schema, table}}}, [=](const Setting& setting, Schedule& into) -> Result<void> {
                into = {};
                if (setting.kind == Setting::Kind::text) return calendar.read(setting, into.text);
                static constexpr std::string_view known[] = {"between"};
                const Setting* range = setting.find("between");
                if (range) TRY(check_keys(setting, known));
                if (!range) return wrong(setting, "is \"OnCalendar=...\", a cron expression, or {between = \"18h..24h\"}");
                return between.read(*range, into);
            }};
}

const Keys<BandwidthRule>& bandwidth_keys() {
    static const Keys<BandwidthRule> keys =
        Keys<BandwidthRule>()
            .key("window", &BandwidthRule::window, window(), "When it holds, as \"Mon..Fri 08:00-18:00\"; always if left out")
            .key("rate", &BandwidthRule::bytes_per_second, parsed<uint64_t>("^[0-9]{1,7}([KMG]i|[kMG])?B/s$", parse_rate), "Bytes read a second at most: 50MiB/s", true);
    return keys;
}

const Keys<ApiCallLimit>& api_call_keys() {
    static const Keys<ApiCallLimit> keys = Keys<ApiCallLimit>()
                                               .key("per_second", &ApiCallLimit::per_second, number(0, 1e6), "Requests a second at most; 0 for no limit")
                                               .key("per_month", &ApiCallLimit::per_month, integer<uint64_t>(0, INT64_MAX), "Requests a calendar month (UTC) at most; 0 for no limit");
    return keys;
}

const Keys<Hook>& hook_keys() {
    static const Keys<Hook> keys = Keys<Hook>()
                                       .key("run", &Hook::argv, list(text(), 100, 1), "Program and arguments; no shell", true)
                                       .key("time_limit", &Hook::time_limit, positive_duration(), "Ended and counted as failed after that; 60s if left out");
    return keys;
}

const Keys<Retry>& retry_keys() {
    using enum Failure;
    static const Keys<Retry> keys =
        Keys<Retry>()
            .key("max", &Retry::max, integer<unsigned>(0, 1000), "Attempts after the first; 5 if left out")
            .key("initial", &Retry::initial, positive_duration(), "The first wait at most; each wait is drawn between 0 and its bound; 30s if left out")
            .key("factor", &Retry::factor, number(1, 100), "By which the bound grows from wait to wait; 2 if left out")
            .key("cap", &Retry::cap, positive_duration(), "No bound grows over that; 15m if left out")
            .key("on", &Retry::on,
                 list(choice<Failure>({{"unavailable", unavailable}, {"busy", busy}, {"io", io}, {"no-space", no_space}, {"denied", denied}, {"wrong", wrong}, {"killed", killed}, {"hook", hook}})),
                 "Failures that are tried again; all but no-space, denied and wrong if left out")
            .key("give_up_before_deadline", &Retry::give_up_before_deadline, duration(), "No attempt begins later than that before the deadline");
    return keys;
}

const Keys<After>& after_keys() {
    static const Keys<After> keys =
        Keys<After>()
            .key("job", &After::job, text(64), "The job that it comes after", true)
            .key("on", &After::on, choice<AfterOutcome>({{"success", AfterOutcome::success}, {"failure", AfterOutcome::failure}, {"any", AfterOutcome::any}}),
                 "How that job's run ended; success if left out")
            .key("within", &After::within, optional(positive_duration()), "That run's end must not be longer ago");
    return keys;
}

const Keys<CarbonRule>& carbon_keys() {
    static const Keys<CarbonRule> keys =
        Keys<CarbonRule>()
            .key("weight", &CarbonRule::weight, number(0, 1e6), "What a kilogram of CO2 equivalent counts, against cost.weight for a unit of the currency; 1 if left out")
            .key("signal", &CarbonRule::signal, choice<carbon::SignalKind>({{"average", carbon::SignalKind::average}, {"marginal", carbon::SignalKind::marginal}}),
                 "Which intensity decides; average if left out")
            .key("source_zone", &CarbonRule::source_zone, parsed<std::string>(".", parse_zone_name), "The grid of the disk's place: DE, or a cloud's region, aws:eu-central-1")
            .key("target_zone", &CarbonRule::target_zone, parsed<std::string>(".", parse_zone_name), "The grid of the volume's place")
            .key("min_gain", &CarbonRule::min_gain, number(0, 1), "Share that waiting must save; 0.03 if left out")
            .key("interrupt", &CarbonRule::interrupt, boolean(), "Whether a run may be paused while the grid is dirtier than it will be; false if left out");
    return keys;
}

const Keys<Budget>& budget_keys() {
    static const Keys<Budget> keys =
        Keys<Budget>()
            .key("amount", &Budget::amount, parsed<Money>("^[0-9]{1,10}(\\.[0-9]{1,9})?$", parse_amount), "Of the currency, a calendar month (UTC): \"40.00\"", true)
            .key("on_exceed", &Budget::on_exceed,
                 choice<OnExceed>({{"defer-within-rpo", OnExceed::defer_within_rpo}, {"warn", OnExceed::warn}, {"stop", OnExceed::stop}}),
                 "defer-within-rpo waits as long as the rpo allows, stop until the next month or the rpo's deadline; warn, if left out, runs and says so");
    return keys;
}

const Keys<CostRule>& cost_keys() {
    static const Keys<CostRule> keys = Keys<CostRule>()
                                           .key("weight", &CostRule::weight, number(0, 1e6), "What a unit of the currency counts, against carbon.weight; 0 if left out")
                                           .key("currency", &CostRule::currency, parsed<std::string>("^[A-Z]{3}$", parse_currency), "EUR if left out")
                                           .key("from", &CostRule::from, parsed<std::string>("^[^:/]+:[^/]+(/.+)?$", parse_place_name),
                                                "What reading the disk is priced as: aws:us-east-1 for snapshots by the block API, aws:us-east-1/standard for objects of a class; if left "
                                                "out, reading takes no requests, and what leaves carbon.source_zone has a price where that is VENDOR:REGION")
                                           .key("budget", &CostRule::budget, optional(budget_keys().kind()), "What the job may cost");
    return keys;
}

const Keys<Policy>& window_keys() {
    static const Keys<Policy> keys =
        Keys<Policy>()
            .key("allow", &Policy::allow, list(window()), "When it may run: \"Mon..Fri 20:00-06:00\", \"Sat,Sun *\"; always if left out")
            .key("deny", &Policy::deny, list(window()), "When it may not; wins over allow: \"2026-12-24/2027-01-02\"")
            .key("on_close", &Policy::on_close, choice<OnClose>({{"pause", OnClose::pause}, {"finish", OnClose::finish}}),
                 "What a run does when its window closes: pause, if left out, goes on in the next one");
    return keys;
}

const Keys<JobLimits>& job_limit_keys() {
    static const Keys<JobLimits> keys = Keys<JobLimits>()
                                            .key("bandwidth", &JobLimits::bandwidth, list(bandwidth_keys().kind()), "Rates by time of day; the first whose window is open holds")
                                            .key("api_calls", &JobLimits::api_calls, api_call_keys().kind(), "Requests to the source's service");
    return keys;
}

const Keys<Catchup>& catchup_keys() {
    static const Keys<Catchup> keys =
        Keys<Catchup>()
            .key("mode", &Catchup::mode, choice<CatchupMode>({{"latest", CatchupMode::latest}, {"all", CatchupMode::all}, {"none", CatchupMode::none}}),
                 "Which of the calendar's times that were missed are made up for; latest if left out")
            .key("within", &Catchup::within, optional(positive_duration()), "What was missed longer ago is not made up for");
    return keys;
}

Result<std::string> grid_of(const std::string& zone, std::string& place) {
    place = "onprem";
    if (zone.empty()) return std::string();
    if (size_t colon = zone.find(':'); colon != zone.npos) place = zone.substr(0, colon);
    return TRY(carbon::find_zone(zone)).id;
}

std::string where(const Setting& setting) {
    return setting.line == 0 ? *setting.file : fmt::format("{}:{}", *setting.file, setting.line);
}

}  // namespace

Result<void> check_name(const Setting& setting, std::string_view name) {
    auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); };
    bool good = !name.empty() && name.size() <= 64 && letter(name[0]);
    for (char c : name) good = good && (letter(c) || c == '-' || c == '_' || c == '.');
    if (!good) return setting.wrong(fmt::format("\"{}\" is no name: 1 to 64 letters, digits, '-', '_' and '.', the first a letter or digit", name.substr(0, 80)));
    return {};
}

const Keys<Policy>& policy_keys() {
    static const Keys<Policy> keys =
        Keys<Policy>()
            .key("rpo", &Policy::rpo, optional(positive_duration()), "Recovery point objective: the newest good generation is never older. Wins over everything else here but pauses and `after`")
            .key("rto", &Policy::rto, optional(positive_duration()), "Recovery time objective; chooses no time of a run, but a plan notes where all of the disk takes longer, at the rate of its syncs")
            .key("timezone", &Policy::timezone, parsed<std::string>(".", parse_time_zone), "IANA name, of every and windows; UTC if left out")
            .key("every", &Policy::every, schedule(), "When it is due: \"OnCalendar=Mon..Fri 01:00\", cron's \"0 1 * * *\", or {between = \"18h..24h\"}")
            .group("windows", window_keys(), "When it may run")
            .key("catchup", &Policy::catchup, catchup_keys().kind(), "After a time when nothing could run")
            .key("overlap", &Policy::overlap,
                 choice<Overlap>({{"skip", Overlap::skip}, {"buffer-one", Overlap::buffer_one}, {"replace", Overlap::replace}, {"allow", Overlap::allow}}),
                 "When it is due while it runs: skip (if left out), run once more after it, end it and begin again, or run each due time, one after the other")
            .key("after", &Policy::after, list(after_keys().kind(), 64), "Jobs of which a run must have ended since the last run of this one began")
            .key("retry", &Policy::retry, retry_keys().kind(), "When a run fails: exponential waits with full jitter")
            .key("priority", &Policy::priority, integer<int>(0, 100), "Larger ones first where limits let only some run; 50 if left out")
            .key("limits", &Policy::limits, job_limit_keys().kind(), "Of this job")
            .key("carbon", &Policy::carbon, carbon_keys().kind(), "How emissions decide")
            .key("cost", &Policy::cost, cost_keys().kind(), "How money decides")
            .key("pre", &Policy::pre, optional(hook_keys().kind()), "Run before each attempt; if it fails, the attempt has failed")
            .key("post", &Policy::post, optional(hook_keys().kind()), "Run after each attempt, however it ended");
    return keys;
}

const Keys<Job>& job_keys() {
    static const Keys<Job> keys = Keys<Job>()
                                      .key("source", &Job::source, text(), "What is synced, as `hyperctl sync` takes it", true)
                                      .key("volume", &Job::volume, text(), "The volume that is brought to a new generation", true)
                                      .key("policy", &Job::policy, text(64), "Whose keys hold where the job has none of its own")
                                      .key("paused", &Job::paused, boolean(), "Whether it does not run until this is changed")
                                      .all(&Job::rules, policy_keys());
    return keys;
}

const Keys<GlobalLimits>& limit_keys() {
    static const Keys<GlobalLimits> keys =
        Keys<GlobalLimits>()
            .key("runs", &GlobalLimits::runs, integer<unsigned>(1, 100'000), "Runs at a time; 4 if left out")
            .key("per_source", &GlobalLimits::per_source, integer<unsigned>(1, 100'000), "Of disks of one place: a URI's scheme and host, or a file's folder; 2 if left out")
            .key("per_target", &GlobalLimits::per_target, integer<unsigned>(1, 100'000), "Into volumes of one folder; 4 if left out")
            .key("timezone", &GlobalLimits::timezone, parsed<std::string>(".", parse_time_zone), "Of the windows of bandwidth; UTC if left out")
            .key("bandwidth", &GlobalLimits::bandwidth, list(bandwidth_keys().kind()), "Rates of all runs together, by time of day")
            .key("api_calls", &GlobalLimits::api_calls, api_call_keys().kind(), "Requests of all runs together");
    return keys;
}

Result<void> look_up(const Setting& setting, Policy& policy) {
    if (!policy.every.text.empty() && !policy.every.elastic) {
        auto calendar = Calendar::parse(policy.every.text, policy.timezone);
        if (!calendar && policy.every.text.starts_with("OnCalendar=") && policy.timezone == "UTC") calendar = Calendar::parse(policy.every.text, "");
        if (!calendar) return setting.wrong(fmt::format("{}.every: {}", setting.path, calendar.error().message));
        policy.every.calendar = std::move(*calendar);
    }
    auto zone = TRY(TimeZone::find(policy.timezone));
    policy.windows.reset();
    if (!policy.allow.empty() || !policy.deny.empty()) policy.windows = TRY(Windows::parse(policy.allow, policy.deny, zone));
    CarbonRule& carbon = policy.carbon;
    carbon.source_grid = TRY(grid_of(carbon.source_zone, carbon.source_place));
    carbon.target_grid = TRY(grid_of(carbon.target_zone, carbon.target_place));
    if (policy.rpo && policy.every.elastic && *policy.rpo <= policy.every.elastic->min)
        return setting.wrong(fmt::format("{}: rpo {} is not longer than the {} that `every` waits at least; give a longer rpo, or a shorter wait", setting.path,
                                         duration_text(*policy.rpo), duration_text(policy.every.elastic->min)));
    return {};
}

std::vector<std::string> warnings_of(const Setting& setting, const Policy& policy) {
    std::vector<std::string> said;
    for (const std::string& zone : {policy.carbon.source_zone, policy.carbon.target_zone}) {
        if (zone.empty() || zone.find(':') != zone.npos) continue;
        if (auto found = carbon::find_zone(zone); found && !found->mapped_from.empty())
            said.push_back(fmt::format("{}: {}.carbon: zone {} is called {} today, and is taken as that", where(setting), setting.path, zone, found->id));
    }
    if (policy.rpo && policy.every.calendar) {
        // Enough of the calendar for a year of weeks.
        Instant at{std::chrono::sys_days(std::chrono::year(2026) / 1 / 1)};
        Seconds longest{};
        std::optional<Instant> last;
        for (int i = 0; i < 400; i++) {
            auto next = policy.every.calendar->next(at);
            if (!next) break;
            if (last) longest = std::max(longest, *next - *last);
            last = at = *next;
        }
        if (longest >= *policy.rpo)
            said.push_back(fmt::format("{}: {}: the calendar's times are up to {} apart and the rpo is {}, which leaves no time for the run itself: runs will be "
                                       "drawn forward or added; give a longer rpo or a denser calendar",
                                       where(setting), setting.path, duration_text(longest), duration_text(*policy.rpo)));
    }
    if (!policy.rpo && policy.every.text.empty() && policy.after.empty())
        said.push_back(fmt::format("{}: {}: has neither rpo, every nor after, so it runs only when it is asked to", where(setting), setting.path));
    return said;
}

}  // namespace hyper::scheduler
