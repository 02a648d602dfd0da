// SPDX-License-Identifier: Apache-2.0
#include "tests/scheduler/world.h"

namespace hyper::scheduler {
namespace {

const std::string no_retry = "retry = {max = 0}\n";
const std::string de = "carbon = {source_zone = \"DE\", target_zone = \"DE\"}\n";

bool has_note(const Decision& decision, const std::string& words) {
    for (const std::string& note : decision.notes)
        if (note.find(words) != note.npos) return true;
    return false;
}

// Deadlines ------------------------------------------------------------------------------------------------------------------

TEST(Decide, waits_for_a_cleaner_hour_before_the_deadline) {
    SmallWorld world("rpo = \"24h\"\nevery = {between = \"6h..24h\"}\n" + no_retry + de);
    world.succeeded(day0);
    std::vector<double> grams(48, 300);
    grams[12] = 100;
    world.outlook(day0, grams);
    Decision decision = world.decide_at(day0 + hours(8));
    EXPECT_EQ(decision.action, Action::wait);
    EXPECT_EQ(decision.cause, Cause::planned);
    EXPECT_GE(*decision.at, day0 + hours(12)) << decision.explanation;
    EXPECT_LT(*decision.at, day0 + hours(13));
    EXPECT_EQ(decision.deadline, day0 + hours(24));
    ASSERT_EQ(decision.alternatives.size(), 3u);
    EXPECT_EQ(decision.alternatives[0].what, "now");
    EXPECT_EQ(decision.alternatives[1].what, "planned");
    EXPECT_EQ(decision.alternatives[2].what, "last moment");
    EXPECT_GT(decision.alternatives[0].grams->middle, 2 * decision.alternatives[1].grams->middle);
    EXPECT_EQ(decision.issues, "DE test");
}

TEST(Decide, lets_the_deadline_win_over_carbon) {
    SmallWorld world("rpo = \"24h\"\n" + no_retry + de);
    world.succeeded(day0);
    std::vector<double> grams(72, 900);
    grams[23] = grams[24] = 1;
    world.outlook(day0, grams);
    Decision decision = world.decide_at(day0 + hours(23));
    EXPECT_EQ(decision.action, Action::run);
    EXPECT_EQ(decision.cause, Cause::deadline);
    EXPECT_EQ(world.decide_at(day0 + hours(22)).at, day0 + hours(23)) << "an hour's run ends with the 24th hour at the latest";
}

TEST(Decide, lets_the_deadline_win_over_windows_limits_and_budgets) {
    SmallWorld world("rpo = \"24h\"\nwindows = {allow = [\"12:00-13:00\"]}\ncost = {budget = {amount = \"1\", on_exceed = \"stop\"}}\n" + no_retry +
                     "[limits]\nruns = 1\n[jobs.other]\nsource = \"/b/o\"\nvolume = \"/w/o\"\n");
    world.succeeded(day0);
    world.used.money["db"] = Money{5'000'000'000};
    JobState& other = world.states["other"];
    other = after_start(other, "asked 1", day0, day0 + hours(22));
    EXPECT_EQ(world.decide_at(day0 + hours(22)).action, Action::wait);
    Decision decision = world.decide_at(day0 + hours(23));
    EXPECT_EQ(decision.action, Action::run);
    EXPECT_EQ(decision.cause, Cause::deadline);
    EXPECT_TRUE(has_note(decision, "its window is closed"));
    EXPECT_TRUE(has_note(decision, "over budget: 5 EUR of this month's 1 are spent"));
    EXPECT_FALSE(decision.at_risk);
}

TEST(Decide, wakes_who_was_asked_for_and_finds_no_room_by_its_last_start) {
    SmallWorld world("rpo = \"24h\"\n" + no_retry + "[limits]\nruns = 1\n[jobs.other]\nsource = \"/b/o\"\nvolume = \"/w/o\"\n");
    world.succeeded(day0);
    world.states["other"] = after_start(world.states["other"], "asked 1", day0, day0 + hours(9));
    world.states["db"] = after_run_asked(world.states["db"]);
    Decision decision = world.decide_at(day0 + hours(10));
    EXPECT_EQ(decision.action, Action::wait) << decision.explanation;
    EXPECT_EQ(decision.at, day0 + hours(23));
}

TEST(Decide, rests_after_a_failure_however_often_it_decides) {
    SmallWorld world("rpo = \"24h\"\nretry = {max = 0, cap = \"15m\"}\n");
    world.succeeded(day0);
    Instant failed = day0 + hours(30);
    world.states["db"].last_failed = true;
    world.states["db"].last_end = failed;
    for (Instant now = failed + Seconds(1); now < failed + minutes(15); now += minutes(5)) {
        Decision decision = world.decide_at(now);
        ASSERT_EQ(decision.action, Action::wait) << instant_text(now) << ": " << decision.explanation;
        world.states["db"] = after_decision(world.states["db"], decision, now);
    }
    EXPECT_EQ(world.decide_at(failed + minutes(16)).action, Action::run);
}

TEST(Decide, does_not_rest_through_the_last_moment_that_keeps_the_objective) {
    SmallWorld world("rpo = \"24h\"\nretry = {max = 0, cap = \"3h\"}\n");
    world.succeeded(day0);
    world.states["db"].last_failed = true;
    world.states["db"].last_end = day0 + hours(22);
    Decision decision = world.decide_at(day0 + hours(22) + minutes(1));
    EXPECT_EQ(decision.action, Action::wait) << decision.explanation;
    EXPECT_EQ(decision.last_start, day0 + hours(23) - Seconds(150)) << "as long as it would be after its rest, at 25 hours";
    EXPECT_EQ(world.decide_at(day0 + hours(23)).action, Action::run);
    world.states["db"].last_end = day0 + hours(23);
    EXPECT_EQ(world.decide_at(day0 + hours(24)).last_start, day0 + hours(26)) << "it is missed, so it rests";
}

TEST(Decide, does_not_count_on_what_a_stopped_attempt_did) {
    SmallWorld world("rpo = \"100h\"\nwindows = {allow = [\"20:00-22:00\"]}\n" + no_retry);
    world.succeeded(day0);
    auto last_start = world.decide_at(day0 + hours(50)).last_start;
    world.states["db"] = after_start(world.states["db"], "x", day0 + hours(44), day0 + hours(45));
    world.end(day0 + hours(45) + minutes(50), {.outcome = Outcome::suspended});
    ASSERT_EQ(world.states["db"].ran, minutes(50));
    EXPECT_EQ(world.decide_at(day0 + hours(50)).last_start, last_start);
}

TEST(Decide, says_that_limits_were_gone_over) {
    SmallWorld world("rpo = \"24h\"\n" + no_retry + "[limits]\nruns = 1\n[jobs.other]\nsource = \"/b/o\"\nvolume = \"/w/o\"\nrpo = \"200h\"\n");
    world.succeeded(day0);
    world.succeeded(day0, "other");
    world.states["other"] = after_start(world.states["other"], "x", day0, day0 + hours(23));
    EXPECT_TRUE(has_note(world.decide_at(day0 + hours(23)), "more run than limits allow"));
}

TEST(Decide, keeps_a_guard_for_slow_runs_and_retries) {
    SmallWorld world("rpo = \"24h\"\nretry = {max = 2, initial = \"10m\", factor = 1}\n");
    world.succeeded(day0);
    // Two waits of ten minutes, and the run once more.
    EXPECT_EQ(world.decide_at(day0 + hours(2)).last_start, day0 + hours(23) - minutes(80));
    SmallWorld slow("rpo = \"24h\"\n" + no_retry);
    slow.succeeded(day0);
    slow.measures["/a/db"].back().seconds = slow.measures["/a/db"][3].seconds = 7200;
    EXPECT_EQ(*slow.decide_at(day0 + hours(2)).last_start, day0 + hours(22)) << "one of ten took twice as long";
}

TEST(Decide, says_when_the_objective_is_missed) {
    SmallWorld world("rpo = \"24h\"\n" + no_retry);
    world.succeeded(day0);
    Decision decision = world.decide_at(day0 + hours(30));
    EXPECT_EQ(decision.action, Action::run);
    EXPECT_TRUE(decision.at_risk);
    EXPECT_TRUE(has_note(decision, "missed"));
}

TEST(Decide, counts_a_new_job_from_when_it_was_known) {
    SmallWorld world("rpo = \"24h\"\n");
    EXPECT_EQ(world.decide_at(day0).deadline, day0 + hours(24));
    EXPECT_EQ(world.decide_at(day0).action, Action::run) << "nothing is known that would make another time better";
}

// Calendars ------------------------------------------------------------------------------------------------------------------

TEST(Decide, waits_for_the_calendars_next_time) {
    SmallWorld world("every = \"0 1 * * *\"\ntimezone = \"Europe/Berlin\"\n");
    Decision decision = world.decide_at(day0 + hours(12));
    EXPECT_EQ(decision.action, Action::wait);
    EXPECT_EQ(decision.cause, Cause::not_due);
    EXPECT_EQ(decision.at, day0 + hours(24));
}

TEST(Decide, is_due_once_where_clocks_change) {
    // Berlin, 2026-03-29: 02:00 to 03:00 is skipped. 2026-10-25: 02:00 to 03:00 comes twice.
    SmallWorld world("every = \"30 2 * * *\"\ntimezone = \"Europe/Berlin\"\n");
    for (const char* day : {"2026-03-28T12:00:00Z", "2026-10-24T12:00:00Z"}) {
        world.states["db"] = {};
        world.states["db"].job = "db";
        world.states["db"].since = at(day);
        std::vector<Instant> dues;
        for (Instant now = at(day); now < at(day) + hours(36); now += minutes(10)) {
            Decision decision = world.step(now);
            if (decision.action != Action::run) continue;
            dues.push_back(decision.due);
            world.end(now + minutes(1));
        }
        ASSERT_EQ(dues.size(), 1u) << day;
    }
    world.states["db"] = {};
    world.states["db"].since = at("2026-03-28T12:00:00Z");
    EXPECT_EQ(world.decide_at(at("2026-03-29T00:30:00Z")).at, at("2026-03-29T01:00:00Z")) << "just after the gap";
}

TEST(Decide, draws_a_run_forward_where_the_calendar_leaves_it_no_time) {
    SmallWorld world("rpo = \"24h\"\nevery = \"0 0 * * *\"\n" + no_retry);
    world.succeeded(day0);
    EXPECT_EQ(world.decide_at(day0 + hours(2)).at, day0 + hours(23));
    Decision decision = world.step(day0 + hours(23));
    EXPECT_EQ(decision.action, Action::run);
    EXPECT_EQ(decision.period, "2026-01-02T00:00:00Z");
    EXPECT_TRUE(has_note(decision, "drawn forward"));
    world.end(day0 + hours(24));
    EXPECT_EQ(world.decide_at(day0 + hours(24) + minutes(1)).cause, Cause::not_due) << "the day's run is served";
}

TEST(Decide, adds_runs_where_the_calendar_is_too_sparse) {
    SmallWorld world("rpo = \"24h\"\nevery = \"0 0 * * 0\"\n" + no_retry);
    world.succeeded(day0);
    Decision decision = world.decide_at(day0 + hours(23));
    EXPECT_EQ(decision.action, Action::run);
    EXPECT_EQ(decision.period, "rpo 2026-01-01T01:00:00Z");
    EXPECT_TRUE(has_note(decision, "besides the calendar"));
}

// Catch-up -------------------------------------------------------------------------------------------------------------------

TEST(Decide, makes_up_for_the_newest_missed_run) {
    SmallWorld world("every = \"0 * * * *\"\n");
    Decision decision = world.step(day0 + hours(5) + minutes(30));
    EXPECT_EQ(decision.action, Action::run);
    EXPECT_EQ(decision.period, "2026-01-01T05:00:00Z");
    EXPECT_EQ(decision.skipped.size(), 4u);
    world.end(day0 + hours(5) + minutes(40));
    EXPECT_EQ(world.decide_at(day0 + hours(5) + minutes(45)).cause, Cause::not_due);
}

TEST(Decide, makes_up_for_all_missed_runs_in_order) {
    SmallWorld world("every = \"0 * * * *\"\ncatchup = {mode = \"all\", within = \"3h\"}\n");
    std::vector<std::string> periods;
    for (int i = 0; i < 5; i++) {
        Instant now = day0 + hours(5) + minutes(30 + i);
        Decision decision = world.step(now);
        if (decision.action != Action::run) break;
        periods.push_back(decision.period);
        world.end(now + Seconds(10));
    }
    EXPECT_EQ(periods, (std::vector<std::string>{"2026-01-01T03:00:00Z", "2026-01-01T04:00:00Z", "2026-01-01T05:00:00Z"}));
}

TEST(Decide, makes_up_for_nothing_if_told_so) {
    SmallWorld world("every = \"0 * * * *\"\ncatchup = {mode = \"none\"}\n");
    Decision decision = world.decide_at(day0 + hours(5) + minutes(30));
    EXPECT_EQ(decision.cause, Cause::not_due);
    EXPECT_EQ(decision.at, day0 + hours(6));
    EXPECT_EQ(world.decide_at(day0 + hours(6)).action, Action::run);
}

TEST(Decide, makes_up_for_nothing_that_is_too_long_ago) {
    SmallWorld world("every = \"0 0 * * *\"\ncatchup = {within = \"6h\"}\n");
    world.states["db"].since = day0 - hours(1);
    EXPECT_EQ(world.decide_at(day0 + hours(7)).cause, Cause::not_due);
    EXPECT_EQ(world.decide_at(day0 + hours(5)).action, Action::run);
}

// Overlap --------------------------------------------------------------------------------------------------------------------

SmallWorld overlapping(const std::string& rule) {
    SmallWorld world("every = \"0 * * * *\"\noverlap = \"" + rule + "\"\n");
    EXPECT_EQ(world.step(day0 + hours(1)).action, Action::run);
    return world;
}

TEST(Decide, skips_what_is_due_while_it_runs) {
    SmallWorld world = overlapping("skip");
    Decision decision = world.step(day0 + hours(2));
    EXPECT_EQ(decision.action, Action::go_on);
    EXPECT_EQ(decision.skipped, std::vector<Instant>{day0 + hours(2)});
    world.end(day0 + hours(2) + minutes(10));
    EXPECT_EQ(world.decide_at(day0 + hours(2) + minutes(11)).at, day0 + hours(3));
}

TEST(Decide, keeps_its_periods_end_while_it_runs) {
    SmallWorld calendar("every = \"0 6 * * *\"\n");
    calendar.step(day0 + hours(6));
    ASSERT_EQ(calendar.states["db"].phase, Phase::running);
    EXPECT_EQ(calendar.decide_at(day0 + hours(7)).deadline, day0 + hours(30));
    SmallWorld elastic("every = {between = \"4h..24h\"}\n");
    elastic.succeeded(day0);
    elastic.step(day0 + hours(6));
    ASSERT_EQ(elastic.states["db"].phase, Phase::running);
    EXPECT_EQ(elastic.decide_at(day0 + hours(6) + minutes(10)).deadline, day0 + hours(25));
}

TEST(Decide, buffers_one_run) {
    SmallWorld world = overlapping("buffer-one");
    world.step(day0 + hours(2));
    world.step(day0 + hours(3));
    world.end(day0 + hours(3) + minutes(10));
    Decision decision = world.step(day0 + hours(3) + minutes(11));
    EXPECT_EQ(decision.action, Action::run);
    EXPECT_EQ(decision.due, day0 + hours(3));
    world.end(day0 + hours(3) + minutes(12));
    EXPECT_EQ(world.decide_at(day0 + hours(3) + minutes(13)).cause, Cause::not_due);
}

TEST(Decide, replaces_the_run_that_goes_on) {
    SmallWorld world = overlapping("replace");
    Decision decision = world.step(day0 + hours(2));
    EXPECT_EQ(decision.action, Action::cancel);
    EXPECT_EQ(decision.cause, Cause::replaced);
    world.end(day0 + hours(2) + minutes(1), {.outcome = Outcome::cancelled});
    EXPECT_EQ(world.decide_at(day0 + hours(2) + minutes(2)).period, "2026-01-01T02:00:00Z");
}

TEST(Decide, runs_each_time_where_overlap_is_allowed_one_after_the_other) {
    SmallWorld world = overlapping("allow");
    world.step(day0 + hours(2));
    world.step(day0 + hours(3));
    world.end(day0 + hours(3) + minutes(10));
    EXPECT_EQ(world.step(day0 + hours(3) + minutes(11)).due, day0 + hours(2));
    world.end(day0 + hours(3) + minutes(12));
    EXPECT_EQ(world.step(day0 + hours(3) + minutes(13)).due, day0 + hours(3));
}

// Dependencies ---------------------------------------------------------------------------------------------------------------

SmallWorld after_app(const std::string& rule, const std::string& keys = "") {
    return SmallWorld("[jobs.db]\nsource = \"/a/db\"\nvolume = \"/v/db\"\n" + keys + "after = [{job = \"app\"" + rule +
                          "}]\n[jobs.app]\nsource = \"/a/app\"\nvolume = \"/v/app\"\nrpo = \"1000h\"\n",
                      0);
}

TEST(Decide, runs_after_another_jobs_success_once) {
    SmallWorld world = after_app("");
    EXPECT_EQ(world.decide_at(day0).cause, Cause::dependency);
    world.succeeded(day0, "app");
    Decision decision = world.step(day0 + hours(2));
    EXPECT_EQ(decision.action, Action::run);
    EXPECT_EQ(decision.period, "after 2026-01-01T01:00:00Z");
    world.end(day0 + hours(3));
    EXPECT_EQ(world.decide_at(day0 + hours(3)).cause, Cause::dependency) << "its next run wants a newer one";
}

TEST(Decide, runs_after_the_outcome_that_is_named) {
    SmallWorld failure = after_app(", on = \"failure\""), any = after_app(", on = \"any\""), success = after_app("");
    for (SmallWorld* world : {&failure, &any, &success}) {
        world->states["app"].last_end = day0 + hours(1);
        world->states["app"].last_failed = true;
    }
    EXPECT_EQ(failure.decide_at(day0 + hours(2)).action, Action::run);
    EXPECT_EQ(any.decide_at(day0 + hours(2)).action, Action::run);
    EXPECT_EQ(success.decide_at(day0 + hours(2)).action, Action::wait);
    failure.succeeded(day0 + hours(1), "app");
    failure.states["app"].last_failed = false;
    EXPECT_EQ(failure.decide_at(day0 + hours(3)).action, Action::wait);
}

TEST(Decide, wants_a_dependency_that_is_fresh) {
    SmallWorld world = after_app(", within = \"2h\"", "every = \"0 6 * * *\"\n");
    world.succeeded(day0 + hours(1), "app");
    Decision decision = world.decide_at(day0 + hours(6));
    EXPECT_EQ(decision.cause, Cause::dependency);
    EXPECT_NE(decision.explanation.find("within 2h (the last one ended at 2026-01-01T02:00:00Z)"), std::string::npos) << decision.explanation;
    world.succeeded(day0 + hours(4), "app");
    EXPECT_EQ(world.decide_at(day0 + hours(6)).action, Action::run);
}

TEST(Decide, holds_a_dependency_over_the_objective_and_says_so) {
    SmallWorld world = after_app("", "rpo = \"24h\"\n");
    world.succeeded(day0);
    Decision decision = world.decide_at(day0 + hours(25));
    EXPECT_EQ(decision.cause, Cause::dependency);
    EXPECT_TRUE(decision.at_risk);
    EXPECT_NE(decision.explanation.find("rpo cannot be kept"), std::string::npos);
}

// Job b has an objective, and waits for m, which waits for a, whose cleanest hour would be the 40th. Neither m nor a ran since b did.
const std::string far_and_elastic = "rpo = \"72h\"\nevery = {between = \"1h..48h\"}\n";

SmallWorld chain(const std::string& keys_of_a = far_and_elastic, const std::string& rule = "") {
    auto job = [](const std::string& name, const std::string& keys) {
        return fmt::format("[jobs.{0}]\nsource = \"/a/{0}\"\nvolume = \"/v/{0}\"\n", name) + no_retry + keys;
    };
    const std::string b = job("b", "rpo = \"30h\"\nafter = [{job = \"m\"" + rule + "}]\n");
    SmallWorld world(job("a", keys_of_a + de) + job("m", "after = [{job = \"a\"}]\n") + b, 0);
    world.succeeded(day0, "b");
    world.succeeded(day0 - hours(1), "m");
    world.succeeded(day0 - hours(2), "a");
    std::vector<double> grams(96, 300);
    grams[20] = 200;
    grams[40] = 1;
    world.outlook(day0, grams);
    return world;
}

TEST(Decide, keeps_the_objective_of_who_waits_for_it_through_another_job) {
    SmallWorld world = chain();
    Decision a = world.decide_at(day0 + hours(10), "a"), m = world.decide_at(day0 + hours(10), "m"), b = world.decide_at(day0 + hours(10), "b");
    EXPECT_EQ(b.last_start, day0 + hours(30) - minutes(75)) << "30 hours' sync takes as long";
    ASSERT_TRUE(b.last_start && m.last_start && a.last_start);
    EXPECT_EQ(m.last_start, *b.last_start - m.size.length_p95);
    EXPECT_EQ(a.last_start, *m.last_start - a.size.length_p95);
    EXPECT_EQ(a.deadline, m.last_start);
    EXPECT_EQ(a.action, Action::wait);
    EXPECT_EQ(a.cause, Cause::planned);
    EXPECT_GE(*a.at, day0 + hours(20)) << "the cleanest hour of those that are left";
    EXPECT_LT(*a.at, day0 + hours(21)) << a.explanation;
    EXPECT_EQ(m.at, m.last_start) << "it is looked at again then";
    Decision forced = world.decide_at(day0 + hours(25), "a");
    EXPECT_EQ(forced.action, Action::run);
    EXPECT_EQ(forced.cause, Cause::deadline);
    EXPECT_NE(forced.explanation.find("for the rpo of job b, which waits for it, it must run now"), std::string::npos) << forced.explanation;
    EXPECT_FALSE(forced.at_risk) << "its own objective is far";
    EXPECT_FALSE(world.decide_at(day0 + hours(29), "m").at_risk) << "it has none";
}

TEST(Decide, tries_again_in_time_for_who_waits_for_it) {
    SmallWorld world = chain();
    Decision a = world.decide_at(day0 + hours(25), "a"), m = world.decide_at(day0 + hours(25), "m");
    ASSERT_FALSE(a.retry_by.empty());
    EXPECT_EQ(a.retry_by.front(), *m.last_start - a.size.length_p95);
}

TEST(Decide, waits_for_a_cleaner_hour_where_nobody_waits_for_a_new_run) {
    SmallWorld met = chain();
    met.succeeded(day0 + hours(1), "m");
    SmallWorld runs = chain();
    runs.states["b"] = after_start(runs.states["b"], "x", day0, day0 + hours(2));
    SmallWorld paused = chain();
    paused.states["b"] = after_pause(paused.states["b"]);
    SmallWorld failure = chain(far_and_elastic, ", on = \"failure\"");
    for (SmallWorld* world : {&met, &runs, &paused, &failure}) {
        Decision a = world->decide_at(day0 + hours(25), "a");
        EXPECT_EQ(a.action, Action::wait) << a.explanation;
        EXPECT_GE(*a.at, day0 + hours(39)) << a.explanation;
    }
}

TEST(Decide, wants_a_new_run_where_the_last_one_is_not_fresh) {
    SmallWorld world = chain(far_and_elastic, ", within = \"2h\", on = \"any\"");
    world.succeeded(day0 + hours(1), "m");
    auto last_start = [&](Seconds after) { return *world.decide_at(day0 + after, "m").last_start; };
    EXPECT_FALSE(world.decide_at(day0 + hours(4), "m").last_start) << "it is fresh";
    EXPECT_LT(last_start(hours(4) + minutes(1)), day0 + hours(29));
}

TEST(Decide, starts_nothing_for_another_job_that_only_users_start) {
    SmallWorld world = chain("");
    EXPECT_EQ(world.decide_at(day0 + hours(29), "a").action, Action::none);
    EXPECT_TRUE(world.decide_at(day0 + hours(29), "b").at_risk);
}

// Windows --------------------------------------------------------------------------------------------------------------------

TEST(Decide, waits_for_its_window) {
    SmallWorld world("every = \"0 12 * * *\"\nwindows = {allow = [\"20:00-06:00\"], deny = [\"20:30-22:00\"]}\n");
    Decision decision = world.decide_at(day0 + hours(12));
    EXPECT_EQ(decision.cause, Cause::window);
    EXPECT_EQ(decision.at, day0 + hours(22)) << "the hour that it is expected to take does not fit before 20:30";
}

TEST(Decide, plans_into_the_cleanest_hours_of_its_windows) {
    SmallWorld world("rpo = \"48h\"\nevery = {between = \"1h..48h\"}\nwindows = {allow = [\"20:00-06:00\"]}\n" + no_retry + de);
    world.succeeded(day0);
    std::vector<double> grams(72, 300);
    grams[14] = 50, grams[27] = 100;
    world.outlook(day0, grams);
    Decision decision = world.decide_at(day0 + hours(7));
    EXPECT_GE(*decision.at, day0 + hours(27) - minutes(40));
    EXPECT_LT(*decision.at, day0 + hours(28));
}

TEST(Decide, pauses_when_its_window_closes_and_goes_on_in_the_next) {
    SmallWorld world("rpo = \"100h\"\nwindows = {allow = [\"20:00-22:00\"]}\n");
    world.succeeded(day0);
    world.states["db"] = after_start(world.states["db"], "x", day0 + hours(44), day0 + hours(45) + minutes(30));
    EXPECT_EQ(world.decide_at(day0 + hours(45) + minutes(45)).at, day0 + hours(46)) << "looks again when it closes";
    Decision decision = world.step(day0 + hours(46));
    EXPECT_EQ(decision.action, Action::suspend);
    EXPECT_EQ(decision.cause, Cause::window);
    EXPECT_EQ(decision.at, day0 + hours(68));
    world.end(day0 + hours(46), {.outcome = Outcome::suspended});
    EXPECT_EQ(world.states["db"].ran, minutes(30));
    EXPECT_EQ(world.step(day0 + hours(46)).action, Action::wait);
    Decision again = world.step(day0 + hours(68));
    EXPECT_EQ(again.action, Action::run);
    EXPECT_EQ(again.period, "x");
    EXPECT_EQ(world.states["db"].attempts, 1u) << "to go on is no retry";
}

TEST(Decide, goes_on_after_its_window_where_a_pause_would_break_the_objective) {
    SmallWorld world("rpo = \"24h\"\nwindows = {allow = [\"20:00-22:00\"]}\n");
    world.succeeded(day0);
    world.states["db"] = after_start(world.states["db"], "x", day0 + hours(20), day0 + hours(21) + minutes(30));
    Decision decision = world.decide_at(day0 + hours(22));
    EXPECT_EQ(decision.action, Action::go_on);
    EXPECT_EQ(decision.cause, Cause::deadline);
}

TEST(Decide, finishes_after_its_window_if_told_so) {
    SmallWorld world("rpo = \"72h\"\nwindows = {allow = [\"20:00-22:00\"], on_close = \"finish\"}\n");
    world.succeeded(day0);
    world.states["db"] = after_start(world.states["db"], "x", day0 + hours(20), day0 + hours(21));
    EXPECT_EQ(world.decide_at(day0 + hours(23)).action, Action::go_on);
}

TEST(Decide, pauses_a_run_when_the_grid_turns_dirty) {
    SmallWorld world("rpo = \"48h\"\n" + no_retry + "carbon = {source_zone = \"DE\", target_zone = \"DE\", interrupt = true}\n");
    world.succeeded(day0);
    world.states["db"] = after_start(world.states["db"], "x", day0 + hours(24), day0 + hours(24));
    std::vector<double> grams(96, 100);
    for (size_t i = 24; i < 30; i++) grams[i] = 500;
    world.outlook(day0, grams);
    Decision decision = world.decide_at(day0 + hours(24) + minutes(20));
    EXPECT_EQ(decision.action, Action::suspend);
    EXPECT_GE(*decision.at, day0 + hours(30));
    EXPECT_LT(*decision.at, day0 + hours(47));
    grams.assign(96, 100);
    world.outlook(day0, grams);
    EXPECT_EQ(world.decide_at(day0 + hours(24) + minutes(20)).action, Action::go_on);
}

// It goes on where its window is open, though the grid is cleaner at other times.
TEST(Decide, pauses_for_no_time_at_which_its_window_is_closed) {
    SmallWorld world("rpo = \"72h\"\nwindows = {allow = [\"20:00-06:00\"]}\n" + no_retry + "carbon = {source_zone = \"DE\", target_zone = \"DE\", interrupt = true}\n");
    world.succeeded(day0);
    world.states["db"] = after_start(world.states["db"], "x", day0 + hours(20), day0 + hours(20));
    std::vector<double> grams(120, 400);
    for (size_t i = 0; i < grams.size(); i++) {
        if (i % 24 >= 6 && i % 24 < 20) grams[i] = 50;
        if (i % 24 >= 1 && i % 24 < 6) grams[i] = 200;
    }
    world.outlook(day0, grams);
    Decision decision = world.decide_at(day0 + hours(20) + minutes(10));
    ASSERT_EQ(decision.action, Action::suspend);
    EXPECT_TRUE(world.config.jobs.at("db").rules.windows->open(*decision.at)) << instant_text(*decision.at);
    // Where the window opens no more before the objective, nothing is waited for.
    SmallWorld short_one("rpo = \"30h\"\nwindows = {allow = [\"20:00-22:00\"]}\n" + no_retry + "carbon = {source_zone = \"DE\", target_zone = \"DE\", interrupt = true}\n");
    short_one.succeeded(day0);
    short_one.states["db"] = after_start(short_one.states["db"], "x", day0 + hours(20), day0 + hours(20));
    short_one.outlook(day0, grams);
    EXPECT_EQ(short_one.decide_at(day0 + hours(20) + minutes(10)).action, Action::go_on);
}

// Limits, priority, budgets --------------------------------------------------------------------------------------------------

SmallWorld two_jobs(const std::string& limits, const std::string& a_keys = "", const std::string& b_keys = "") {
    return SmallWorld("[jobs.a]\nsource = \"nbd://host/a\"\nvolume = \"/v/a\"\nevery = \"0 * * * *\"\n" + a_keys +
                          "[jobs.b]\nsource = \"nbd://host/b\"\nvolume = \"/v/b\"\nevery = \"0 * * * *\"\n" + b_keys + "[limits]\n" + limits,
                      0);
}

size_t running(const SmallWorld& world) {
    size_t count = 0;
    for (const Decision& decision : world.decide_all(day0 + hours(1))) count += decision.action == Action::run;
    return count;
}

TEST(Decide, keeps_limits_in_all_by_source_and_by_target) {
    EXPECT_EQ(running(two_jobs("runs = 2")), 2u);
    EXPECT_EQ(running(two_jobs("runs = 1")), 1u);
    EXPECT_EQ(running(two_jobs("per_source = 1")), 1u);
    EXPECT_EQ(running(two_jobs("per_target = 1")), 1u);
}

TEST(Decide, gives_room_by_priority_first) {
    SmallWorld world = two_jobs("runs = 1", "", "priority = 60\n");
    EXPECT_EQ(world.decide_at(day0 + hours(1), "b").action, Action::run);
    Decision other = world.decide_at(day0 + hours(1), "a");
    EXPECT_EQ(other.action, Action::wait);
    EXPECT_EQ(other.cause, Cause::limit);
}

TEST(Decide, notes_a_restore_that_takes_longer_than_its_objective) {
    auto notes = [](const std::string& rto) {
        SmallWorld world("every = \"0 6 * * *\"\nrto = \"" + rto + "\"\n");
        // A day's 86 GB take an hour.
        world.measures["/a/db"].push_back({"/a/db", day0, Seconds(0), 0, 864'000'000'000, 36000});
        return world.decide_at(day0 + hours(7)).notes;
    };
    EXPECT_EQ(notes("10h"), std::vector<std::string>());
    EXPECT_EQ(notes("9h"), std::vector<std::string>{"to restore all 864.0 GB takes 10h at the rate of its syncs, longer than the rto of 9h"});
}

TEST(Decide, tells_a_run_of_its_rate_as_the_clock_goes_on) {
    SmallWorld world("every = \"0 6 * * *\"\nlimits = {bandwidth = [{window = \"08:00-18:00\", rate = \"1MiB/s\"}, {rate = \"8MiB/s\"}]}\n[limits]\nbandwidth = [{window = \"12:00-13:00\", rate = \"512KiB/s\"}]\n");
    world.step(day0 + hours(6));
    auto rate_at = [&](Instant now) { return world.decide_at(now).bandwidth_bytes_per_second; };
    Decision early = world.decide_at(day0 + hours(7));
    ASSERT_EQ(early.action, Action::go_on);
    EXPECT_EQ(early.bandwidth_bytes_per_second, 8u << 20);
    EXPECT_EQ(early.at, day0 + hours(8)) << "decided anew when the rate changes";
    EXPECT_EQ(rate_at(day0 + hours(8)), 1u << 20);
    EXPECT_EQ(world.decide_at(day0 + hours(8)).at, day0 + hours(12));
    EXPECT_EQ(rate_at(day0 + hours(12)), 512u << 10);
    EXPECT_EQ(rate_at(day0 + hours(18)), 8u << 20);
}

TEST(Decide, divides_what_all_may_take_among_those_that_run) {
    auto rates_of = [](const std::string& limits, const std::string& a, const std::string& b, std::initializer_list<const char*> running) {
        SmallWorld world = two_jobs(limits, a, b);
        for (const char* job : running) {
            JobState& state = world.states[job];
            state.job = job, state.since = day0, state.phase = Phase::running, state.period = "asked 1", state.attempt_started = day0;
        }
        std::map<std::string, uint64_t> rates;
        for (const Decision& decision : world.decide_all(day0 + hours(1)))
            if (decision.action == Action::go_on) rates[decision.job] = decision.bandwidth_bytes_per_second;
        return rates;
    };
    using Rates = std::map<std::string, uint64_t>;
    const std::string all = "bandwidth = [{rate = \"8MiB/s\"}]\n", low = "limits = {bandwidth = [{rate = \"1MiB/s\"}]}\n";
    EXPECT_EQ(rates_of(all, "", "", {"a", "b"}), (Rates{{"a", 4u << 20}, {"b", 4u << 20}}));
    EXPECT_EQ(rates_of(all, low, "", {"a", "b"}), (Rates{{"a", 1u << 20}, {"b", 7u << 20}}));
    EXPECT_EQ(rates_of(all, "", "paused = true\n", {"a"}), (Rates{{"a", 8u << 20}})) << "who does not run takes nothing";
    EXPECT_EQ(rates_of("", "", low, {"a", "b"}), (Rates{{"a", 0}, {"b", 1u << 20}}));
}

TEST(Decide, spreads_jobs_with_one_forecast_over_what_fits) {
    SmallWorld world = two_jobs("runs = 1", "rpo = \"30h\"\n" + no_retry + de, "rpo = \"30h\"\n" + no_retry + de);
    for (const char* job : {"a", "b"}) {
        world.succeeded(day0, job);
        world.config.jobs.at(job).rules.every = {};
    }
    std::vector<double> grams(48, 300);
    grams[20] = 100, grams[25] = 120;
    world.outlook(day0, grams);
    Instant a = *world.decide_at(day0 + hours(16), "a").at, b = *world.decide_at(day0 + hours(16), "b").at;
    EXPECT_GT(std::max(a, b) - std::min(a, b), minutes(50));
}

TEST(Decide, budgets_defer_warn_and_stop) {
    auto budget = [](const char* rule, const char* rpo) {
        SmallWorld world(std::string(rpo) + "every = \"0 0 * * *\"\ncost = {budget = {amount = \"10\", on_exceed = \"" + rule + "\"}}\n" + no_retry);
        world.costs["db"] = Money{1'000'000'000};
        world.used.money["db"] = Money{9'500'000'000};
        world.states["db"].since = day0 - hours(1);
        return world;
    };
    Decision warn = budget("warn", "").decide_at(day0);
    EXPECT_EQ(warn.action, Action::run);
    EXPECT_TRUE(has_note(warn, "over budget: 9.5 EUR of this month's 10 are spent, and the run would cost 1")) << (warn.notes.empty() ? "" : warn.notes[0]);
    Decision stop = budget("stop", "").decide_at(day0);
    EXPECT_EQ(stop.cause, Cause::budget);
    EXPECT_EQ(stop.at, at("2026-02-01T00:00:00Z"));
    Decision defer = budget("defer-within-rpo", "").decide_at(day0);
    EXPECT_EQ(defer.cause, Cause::budget);
    EXPECT_LT(*defer.at, day0 + hours(24)) << "within its period, without an rpo";
    SmallWorld hard = budget("stop", "rpo = \"48h\"\n");
    hard.succeeded(day0 - hours(24));
    EXPECT_EQ(hard.decide_at(day0).at, day0 + hours(22)) << "after 48 hours it may take two";
    EXPECT_EQ(hard.decide_at(day0 + hours(22)).cause, Cause::deadline);
}

TEST(Decide, keeps_the_months_requests) {
    SmallWorld world("every = \"0 0 * * *\"\nlimits = {api_calls = {per_month = 1000}}\n");
    world.states["db"].since = day0 - hours(1);
    world.used.api_calls["db"] = 999;
    EXPECT_EQ(world.decide_at(day0).action, Action::run);
    world.used.api_calls["db"] = 1000;
    EXPECT_EQ(world.decide_at(day0).cause, Cause::budget);
}

TEST(Decide, weighs_money_against_grams) {
    SmallWorld world("rpo = \"30h\"\n" + no_retry + "carbon = {weight = 0, source_zone = \"DE\", target_zone = \"DE\"}\ncost = {weight = 1}\n");
    world.succeeded(day0);
    std::vector<double> grams(48, 300), price(48, 0.3);
    grams[20] = 10, price[24] = -0.05;
    world.outlook(day0, grams);
    world.zones["DE"].price_per_kwh = carbon::StepSeries(day0, hours(1), price);
    world.zones["DE"].price_currency = "EUR";
    Decision decision = world.decide_at(day0 + hours(16));
    EXPECT_GE(*decision.at, day0 + hours(24) - minutes(10));
    EXPECT_LE(*decision.at, day0 + hours(24) + minutes(10));
    EXPECT_LT(decision.alternatives[1].money->nanos, 0) << "negative prices count";
    world.zones["DE"].price_currency = "GBP";
    decision = world.decide_at(day0 + hours(16));
    EXPECT_FALSE(decision.alternatives[0].money) << "pounds are no euros";
    EXPECT_TRUE(has_note(decision, "power in zone DE has a price in GBP, which does not count for money in EUR"));
}

TEST(Decide, a_zone_of_which_only_the_price_is_known_leaves_the_grams_of_the_other_end) {
    SmallWorld world("rpo = \"30h\"\n" + no_retry + "carbon = {source_zone = \"DE\", target_zone = \"FR\"}\n");
    world.outlook(day0, std::vector<double>(48, 300));
    auto grams = world.decide_at(day0).alternatives[0].grams;
    world.zones["FR"].price_per_kwh = carbon::StepSeries(day0, hours(1), std::vector<double>(48, 0.3));
    world.zones["FR"].price_currency = "EUR";
    Decision decision = world.decide_at(day0);
    ASSERT_TRUE(grams && decision.alternatives[0].grams);
    EXPECT_EQ(decision.alternatives[0].grams->middle, grams->middle);
    EXPECT_TRUE(has_note(decision, "no intensity is known of zone FR"));
}

// What users ask for ---------------------------------------------------------------------------------------------------------

TEST(Decide, runs_at_once_when_asked) {
    SmallWorld world("every = \"0 0 * * *\"\nwindows = {allow = [\"20:00-22:00\"]}\n");
    world.states["db"] = after_run_asked(world.states["db"]);
    Decision decision = world.step(day0 + hours(12));
    EXPECT_EQ(decision.action, Action::run);
    EXPECT_EQ(decision.period, "asked 1");
    EXPECT_FALSE(world.states["db"].run_asked);
    EXPECT_EQ(world.step(day0 + hours(13)).action, Action::go_on) << "its window does not stop it";
}

TEST(Decide, does_not_run_what_is_paused) {
    SmallWorld world("rpo = \"24h\"\n");
    world.succeeded(day0);
    world.states["db"] = after_pause(world.states["db"]);
    Decision decision = world.step(day0 + hours(30));
    EXPECT_EQ(decision.cause, Cause::user_paused);
    EXPECT_TRUE(decision.at_risk);
    EXPECT_EQ(world.states["db"].phase, Phase::paused);
    world.states["db"] = after_resume(world.states["db"]);
    EXPECT_EQ(world.step(day0 + hours(30)).action, Action::run);
    world.states["db"] = after_pause(world.states["db"]);
    EXPECT_EQ(world.step(day0 + hours(30)).action, Action::suspend);
}

TEST(Decide, does_not_begin_again_what_was_cancelled) {
    for (const char* keys : {"every = \"0 0 * * *\"\n", "every = {between = \"4h..8h\"}\n", "rpo = \"24h\"\n"}) {
        SmallWorld world(keys);
        world.states["db"].since = day0 - hours(1);
        ASSERT_EQ(world.step(day0).action, Action::run) << keys;
        world.states["db"] = after_cancel(world.states["db"], day0 + minutes(5));
        EXPECT_EQ(world.step(day0 + minutes(5)).action, Action::cancel);
        world.end(day0 + minutes(6), {.outcome = Outcome::cancelled});
        for (int minute = 6; minute < 20; minute++) EXPECT_NE(world.step(day0 + minutes(minute)).action, Action::run) << keys << minute;
    }
}

TEST(Decide, does_not_begin_a_waiting_run_that_was_cancelled) {
    SmallWorld world = after_app("", "windows = {allow = [\"20:00-22:00\"]}\n");
    world.succeeded(day0, "app");
    EXPECT_EQ(world.step(day0 + hours(2)).cause, Cause::window);
    world.states["db"] = after_cancel(world.states["db"], day0 + hours(3));
    EXPECT_EQ(world.step(day0 + hours(20)).cause, Cause::dependency);
}

// Restarts and purity --------------------------------------------------------------------------------------------------------

TEST(Decide, waits_for_the_same_reason_and_time_after_a_restart) {
    SmallWorld world("rpo = \"26h\"\nevery = {between = \"2h..24h\"}\n" + de);
    world.succeeded(day0);
    std::vector<double> grams(48, 300);
    grams[12] = 100;
    world.outlook(day0, grams);
    Decision before = world.step(day0 + hours(4));
    Decision after = world.decide_at(day0 + hours(4) + minutes(1));
    EXPECT_EQ(after.period, before.period);
    EXPECT_EQ(after.cause, before.cause);
    EXPECT_EQ(after.at, before.at);
}

TEST(Decide, goes_on_with_a_run_that_was_killed) {
    SmallWorld world("every = \"0 0 * * *\"\n");
    world.states["db"].since = day0 - hours(1);
    world.step(day0);
    world.end(day0 + minutes(3), {.outcome = Outcome::killed});
    Decision decision = world.step(day0 + minutes(4));
    EXPECT_EQ(decision.action, Action::run);
    EXPECT_EQ(decision.period, "2026-01-01T00:00:00Z");
    EXPECT_EQ(world.states["db"].run_started, day0) << "its point in time is that of its beginning";
}

TEST(Decide, is_a_pure_function) {
    SmallWorld world("rpo = \"26h\"\n" + de);
    world.succeeded(day0);
    world.outlook(day0, std::vector<double>(48, 300));
    Decision one = world.decide_at(day0 + hours(13)), two = world.decide_at(day0 + hours(13));
    EXPECT_EQ(one.explanation, two.explanation);
    EXPECT_EQ(one.at, two.at);
}

TEST(Decide, has_nothing_to_do_without_rpo_calendar_or_dependency) {
    SmallWorld world("");
    Decision decision = world.step(day0);
    EXPECT_EQ(decision.action, Action::none);
    EXPECT_EQ(world.states["db"].phase, Phase::done);
    EXPECT_EQ(world.decide_at(day0).explanation, "it runs only when it is asked to: it has neither rpo, every nor after");
}

TEST(Decide, wakes_at_the_next_moment_that_matters) {
    SmallWorld world = two_jobs("runs = 2");
    auto decisions = world.decide_all(day0 + minutes(20));
    EXPECT_EQ(next_wake(decisions, day0 + minutes(20)), day0 + hours(1));
    EXPECT_EQ(next_wake({}, day0), std::nullopt);
}

TEST(Decide, notes_what_is_not_known_of_a_zone) {
    SmallWorld world("rpo = \"24h\"\n" + de);
    EXPECT_TRUE(has_note(world.decide_at(day0), "nothing is known of zone DE"));
}

}  // namespace
}  // namespace hyper::scheduler
