// SPDX-License-Identifier: Apache-2.0
#include "scheduler/state/store.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "scheduler/state/sqlite.h"

namespace hyper::scheduler {
namespace {

Instant at(const char* text) {
    return *parse_instant(text);
}

const Instant now = at("2026-01-15T12:00:00Z");

class StoreTest : public testing::Test {
  protected:
    StoreTest() {
        std::string name = "/tmp/hyper-store-XXXXXX";
        folder_ = mkdtemp(name.data());
        state_ = folder_ + "/state";
    }
    ~StoreTest() override { std::filesystem::remove_all(folder_); }

    Store open(Access access = Access::write) {
        auto store = Store::open(state_, access);
        EXPECT_TRUE(store) << store.error().message;
        return std::move(*store);
    }

    std::string folder_, state_;
};

TEST_F(StoreTest, keeps_what_was_committed) {
    {
        Store store = open();
        Change change;
        change.put_jobs.push_back({"db", R"({"source": "a"})", now});
        JobState& state = change.states.emplace_back();
        state.job = "db", state.phase = Phase::retrying, state.retry_at = now + Seconds(5), state.why = "tried again";
        RunRow& run = change.runs.emplace_back();
        run.job = "db", run.period = "p", run.grams = carbon::Estimate{1, 2, 3};
        change.measures.push_back({"a", now, Seconds(86400), 5, 6, 7.5});
        ASSERT_TRUE(store.commit(change));
    }
    Store store = open();
    EXPECT_EQ(store.jobs()->at(0).json, R"({"source": "a"})");
    EXPECT_EQ(store.states()->at("db").retry_at, now + Seconds(5));
    EXPECT_EQ(store.states()->at("db").why, "tried again");
    EXPECT_EQ((*store.run("db", "p"))->grams->high, 3);
    EXPECT_EQ(store.measures()->at("a").at(0).seconds, 7.5);
    EXPECT_EQ(store.run("db", "q")->has_value(), false);
}

TEST_F(StoreTest, has_one_run_for_each_job_and_period) {
    Store store = open();
    Change change;
    change.runs.emplace_back();
    change.runs[0].job = "db", change.runs[0].period = "p";
    ASSERT_TRUE(store.commit(change));
    EXPECT_EQ(store.open_runs()->size(), 1u);
    change.runs[0].ended_at = now, change.runs[0].phase = "success";
    ASSERT_TRUE(store.commit(change));
    EXPECT_EQ(store.runs("db", 10)->size(), 1u);
    EXPECT_EQ(store.runs("db", 10)->at(0).phase, "success");
    EXPECT_TRUE(store.open_runs()->empty());
}

TEST_F(StoreTest, gives_events_rising_ids_that_are_not_used_again) {
    Store store = open();
    Change change;
    for (int i = 0; i < 3; i++) change.events.push_back({0, now, "run.started", "db", "{}"});
    EXPECT_EQ(*store.commit(change), (std::vector<int64_t>{1, 2, 3}));
    ASSERT_TRUE(store.prune(now + Seconds(1)));
    EXPECT_EQ(store.events_after(0, 10)->size(), 0u);
    EXPECT_EQ(store.commit(change)->at(0), 4);
    EXPECT_EQ(store.events_after(4, 10)->at(0).id, 5);
}

TEST_F(StoreTest, delivers_to_each_url_in_order) {
    Store store = open();
    Change change;
    change.urls = {"u1", "u2"};
    change.wanted = [](const std::string& url, const Event& event) { return url == "u1" || event.kind == "run.failed"; };
    for (const char* kind : {"run.started", "run.failed"}) change.events.push_back({0, now, kind, "db", kind});
    ASSERT_TRUE(store.commit(change));
    auto rows = *store.outbox(now);
    ASSERT_EQ(rows.size(), 2u);
    EXPECT_EQ(rows[0].body, "run.started");
    EXPECT_EQ(rows[1].url, "u2");
    EXPECT_EQ(rows[1].body, "run.failed");
    Change later;
    later.retried.push_back(rows[0]);
    later.retried[0].attempts = 1, later.retried[0].next_try = now + Seconds(60);
    later.delivered = {rows[1].id};
    ASSERT_TRUE(store.commit(later));
    EXPECT_TRUE(store.outbox(now)->empty()) << "what comes after one that waits waits, too";
    EXPECT_EQ(store.outbox(now + Seconds(60))->at(0).attempts, 1u);
    ASSERT_TRUE(store.prune(now + Seconds(1)));
    EXPECT_TRUE(store.outbox(now + Seconds(3600))->empty()) << "what nobody took in all the time that things are kept is given up";
    EXPECT_TRUE(store.events_after(0, 10)->empty());
}

TEST_F(StoreTest, adds_up_what_a_month_used) {
    Store store = open();
    Change change;
    change.used_at = now;
    change.used["db"] = {Money{7}, 3, 1000};
    ASSERT_TRUE(store.commit(change));
    ASSERT_TRUE(store.commit(change));
    EXPECT_EQ(store.used(now)->money.at("db").nanos, 14);
    EXPECT_EQ(store.used(now)->api_calls.at("db"), 6u);
    EXPECT_EQ(store.used(now)->sent_bytes.at("db"), 2000u);
    EXPECT_TRUE(store.used(at("2026-02-01T00:00:00Z"))->money.empty());
}

TEST_F(StoreTest, remembers_the_newest_measurements_of_each_disk) {
    Store store = open();
    Change change;
    for (size_t i = 0; i < measures_used + 5; i++) change.measures.push_back({"a", now, Seconds(1), i, 0, 0});
    change.measures.push_back({"b", now, Seconds(1), 1, 0, 0});
    ASSERT_TRUE(store.commit(change));
    auto known = *store.measures();
    EXPECT_EQ(known["a"].size(), measures_used);
    EXPECT_EQ(known["a"].front().changed_bytes, 5u);
    EXPECT_EQ(known["a"].back().changed_bytes, measures_used + 4);
    EXPECT_EQ(known["b"].size(), 1u);
}

TEST_F(StoreTest, remembers_the_newest_first_sync_of_each_disk) {
    Store store = open();
    Change change;
    for (size_t i = 0; i < 2; i++) change.measures.push_back({"a", now, Seconds(0), 0, 100 + i, 0});
    for (size_t i = 0; i < measures_used; i++) change.measures.push_back({"a", now, Seconds(1), i, 0, 0});
    ASSERT_TRUE(store.commit(change));
    ASSERT_TRUE(store.prune(now));
    auto known = *store.measures();
    ASSERT_EQ(known["a"].size(), measures_used + 1);
    EXPECT_EQ(known["a"].front().moved_bytes, 101u);
}

TEST_F(StoreTest, removes_a_job_with_its_state_and_keeps_its_ledger) {
    Store store = open();
    Change change;
    change.put_jobs.push_back({"db", "{}", now});
    change.states.emplace_back().job = "db";
    change.runs.emplace_back().job = "db";
    ASSERT_TRUE(store.commit(change));
    Change removal;
    removal.removed_jobs = {"db"};
    ASSERT_TRUE(store.commit(removal));
    EXPECT_TRUE(store.jobs()->empty());
    EXPECT_TRUE(store.states()->empty());
    EXPECT_EQ(store.runs("db", 1)->size(), 1u);
}

TEST_F(StoreTest, has_one_writer_and_readers_beside_it) {
    Store store = open();
    auto second = Store::open(state_, Access::write);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, EBUSY);
    EXPECT_NE(second.error().message.find("is hyperd running?"), std::string::npos);
    Store reader = open(Access::read);
    Change change;
    change.states.emplace_back().job = "db";
    ASSERT_TRUE(store.commit(change));
    EXPECT_EQ(reader.states()->size(), 1u);
    EXPECT_FALSE(reader.commit(change));
}

TEST_F(StoreTest, refuses_a_damaged_database_with_what_to_do) {
    { open(); }
    std::filesystem::remove(state_ + "/jobs.db-wal");
    {
        std::fstream file(state_ + "/jobs.db", std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(0);
        file << std::string(2048, 'x');
    }
    auto store = Store::open(state_, Access::write);
    ASSERT_FALSE(store);
    EXPECT_EQ(store.error().code, EIO);
    EXPECT_NE(store.error().message.find("is damaged"), std::string::npos) << store.error().message;
    EXPECT_NE(store.error().message.find(".recover"), std::string::npos);
}

TEST_F(StoreTest, refuses_a_database_of_a_newer_version) {
    { open(); }
    {
        // PRAGMA user_version is at offset 60 of the file (the SQLite file format, section 1.3).
        std::fstream file(state_ + "/jobs.db", std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(60);
        file << std::string("\0\0\0\x63", 4);
    }
    auto store = Store::open(state_, Access::write);
    ASSERT_FALSE(store);
    EXPECT_NE(store.error().message.find("its version is 99"), std::string::npos) << store.error().message;
}

TEST_F(StoreTest, brings_up_a_database_of_the_first_version) {
    {
        Store store = open();
        Change change;
        change.used_at = now;
        change.used["db"] = {Money{7}, 3, 1000};
        ASSERT_TRUE(store.commit(change));
    }
    {
        auto database = Sqlite::open(state_ + "/jobs.db", true);
        ASSERT_TRUE(database);
        ASSERT_TRUE((*database)->run("ALTER TABLE month_use DROP COLUMN sent_bytes"));
        ASSERT_TRUE((*database)->run("PRAGMA user_version = 1"));
    }
    EXPECT_EQ(Store::open(state_, Access::read).error().code, EINVAL) << "a reader changes nothing";
    Store store = open();
    auto used = store.used(now);
    ASSERT_TRUE(used) << used.error().message;
    EXPECT_EQ(used->money.at("db").nanos, 7);
    EXPECT_EQ(used->sent_bytes.at("db"), 0u);
}

TEST_F(StoreTest, says_that_there_is_nothing_to_read_yet) {
    auto store = Store::open(state_, Access::read);
    ASSERT_FALSE(store);
    EXPECT_EQ(store.error().code, ENOENT);
}

}  // namespace
}  // namespace hyper::scheduler
