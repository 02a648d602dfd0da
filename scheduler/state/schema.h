// SPDX-License-Identifier: Apache-2.0
// The tables of jobs.db. What is looked for is a column, the rest is in `json` (row_json.h). Times are seconds since 1970.
#pragma once

namespace hyper::scheduler {

// Of PRAGMA user_version. A database of an older version is brought up by the statements of each version between.
inline constexpr int schema_version = 2;

struct SchemaStep {
    int version;  // that the statement belongs to
    const char* statement;
};

inline constexpr SchemaStep schema_steps[] = {
    {1, "CREATE TABLE job (name TEXT PRIMARY KEY, json TEXT NOT NULL, added_at INTEGER NOT NULL) WITHOUT ROWID"},
    {1, "CREATE TABLE state (job TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID"},
    // (job, period) is the idempotency key of a run.
    {1, "CREATE TABLE run (id INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, period TEXT NOT NULL, decided_at INTEGER NOT NULL, ended_at INTEGER,"
     " json TEXT NOT NULL, UNIQUE (job, period))"},
    {1, "CREATE INDEX run_open ON run (id) WHERE ended_at IS NULL"},
    {1, "CREATE TABLE decision (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, job TEXT NOT NULL, json TEXT NOT NULL)"},
    {1, "CREATE INDEX decision_job ON decision (job, id)"},
    {1, "CREATE TABLE measure (id INTEGER PRIMARY KEY, source TEXT NOT NULL, at INTEGER NOT NULL, since INTEGER NOT NULL, changed_bytes INTEGER NOT NULL,"
     " moved_bytes INTEGER NOT NULL, seconds REAL NOT NULL)"},
    {1, "CREATE INDEX measure_source ON measure (source, id)"},
    // `month`: since year 0.
    {1, "CREATE TABLE month_use (month INTEGER NOT NULL, job TEXT NOT NULL, nanos INTEGER NOT NULL DEFAULT 0, api_calls INTEGER NOT NULL DEFAULT 0,"
     " PRIMARY KEY (month, job)) WITHOUT ROWID"},
    {1, "CREATE TABLE event (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, kind TEXT NOT NULL, job TEXT NOT NULL, body TEXT NOT NULL)"},
    {1, "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, url TEXT NOT NULL, event INTEGER NOT NULL, body TEXT NOT NULL, attempts INTEGER NOT NULL,"
     " next_try INTEGER NOT NULL)"},
    {1, "CREATE INDEX outbox_url ON outbox (url, id)"},
    {2, "ALTER TABLE month_use ADD COLUMN sent_bytes INTEGER NOT NULL DEFAULT 0"},
};

}  // namespace hyper::scheduler
