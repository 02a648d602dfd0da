// SPDX-License-Identifier: Apache-2.0
// The tables of jobs.db. What is looked for is a column, the rest is in `json` (row_json.h). Times are seconds since 1970.
#pragma once

namespace hyper::scheduler {

// Of PRAGMA user_version. A database of an older version is brought up by the statements of each version between.
inline constexpr int schema_version = 1;

inline constexpr const char* schema_statements[] = {
    "CREATE TABLE job (name TEXT PRIMARY KEY, json TEXT NOT NULL, added_at INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE state (job TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID",
    // (job, period) is the idempotency key of a run.
    "CREATE TABLE run (id INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, period TEXT NOT NULL, decided_at INTEGER NOT NULL, ended_at INTEGER,"
    " json TEXT NOT NULL, UNIQUE (job, period))",
    "CREATE INDEX run_open ON run (id) WHERE ended_at IS NULL",
    "CREATE TABLE decision (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, job TEXT NOT NULL, json TEXT NOT NULL)",
    "CREATE INDEX decision_job ON decision (job, id)",
    "CREATE TABLE measure (id INTEGER PRIMARY KEY, source TEXT NOT NULL, at INTEGER NOT NULL, since INTEGER NOT NULL, changed_bytes INTEGER NOT NULL,"
    " moved_bytes INTEGER NOT NULL, seconds REAL NOT NULL)",
    "CREATE INDEX measure_source ON measure (source, id)",
    // `month`: since year 0.
    "CREATE TABLE month_use (month INTEGER NOT NULL, job TEXT NOT NULL, nanos INTEGER NOT NULL DEFAULT 0, api_calls INTEGER NOT NULL DEFAULT 0,"
    " PRIMARY KEY (month, job)) WITHOUT ROWID",
    "CREATE TABLE event (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, kind TEXT NOT NULL, job TEXT NOT NULL, body TEXT NOT NULL)",
    "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, url TEXT NOT NULL, event INTEGER NOT NULL, body TEXT NOT NULL, attempts INTEGER NOT NULL,"
    " next_try INTEGER NOT NULL)",
    "CREATE INDEX outbox_url ON outbox (url, id)",
};

}  // namespace hyper::scheduler
