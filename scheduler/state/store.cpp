// SPDX-License-Identifier: Apache-2.0
#include "scheduler/state/store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "blockengine/base/unique_fd.h"
#include "scheduler/state/row_json.h"
#include "scheduler/state/schema.h"
#include "scheduler/state/sqlite.h"

namespace hyper::scheduler {
namespace {

int64_t seconds_of(Instant at) {
    return at.time_since_epoch().count();
}

Instant instant_of(int64_t seconds) {
    return Instant(Seconds(seconds));
}

int64_t month_of(Instant at) {
    std::chrono::year_month_day day(std::chrono::floor<std::chrono::days>(at));
    return int64_t{int(day.year())} * 12 + unsigned(day.month()) - 1;
}

// Held as long as the store is; the kernel gives it back however the process ends.
Result<UniqueFd> lock(const std::string& folder) {
    std::string path = folder + "/jobs.lock";
    UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!file) return fail(errno, "{}: open it: {}", path, errno_text(errno));
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) return fail(EBUSY, "{}: another process writes this state (is hyperd running?)", folder);
    return file;
}

Result<void> sync_folder(const std::string& folder) {
    UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd || ::fsync(fd.get()) != 0) return fail(errno, "{}: sync the folder: {}", folder, errno_text(errno));
    return {};
}

Result<int64_t> number(Sqlite& database, std::string_view query) {
    int64_t found = 0;
    TRY(database.query(query, {}, [&](const SqliteRow& row) { found = row.integer(0); }));
    return found;
}

Result<void> check_sound(Sqlite& database) {
    std::string said;
    TRY(database.query("PRAGMA quick_check(1)", {}, [&](const SqliteRow& row) { said = row.text(0); }));
    if (said != "ok")
        return fail(EIO, "{}: the database is damaged ({}); stop hyperd, keep a copy of it, and either restore it from a backup, or save what can be read: sqlite3 {} .recover | sqlite3 recovered.db",
                    database.path(), said.substr(0, 200), database.path());
    return {};
}

Result<void> bring_up(Sqlite& database, bool writable) {
    int64_t version = TRY(number(database, "PRAGMA user_version"));
    if (version > schema_version)
        return fail(EINVAL, "{}: its version is {}, and this hyperd knows up to {}: install the newer one again", database.path(), version, schema_version);
    if (version == schema_version) return {};
    if (!writable && version == 0) return fail(ENOENT, "{}: there is no state in it yet", database.path());
    if (!writable) return fail(EINVAL, "{}: its version is {}; start this hyperd once, which brings it up to {}", database.path(), version, schema_version);
    TRY(database.run("BEGIN IMMEDIATE"));
    for (const SchemaStep& step : schema_steps)
        if (step.version > version) TRY(database.run(step.statement));
    TRY(database.run(fmt::format("PRAGMA user_version = {}", schema_version)));
    return database.run("COMMIT");
}

// A row that does not parse is damage that SQLite does not see.
template <class T>
Result<T> parsed(const Sqlite& database, Result<T> row) {
    if (!row) return fail(EIO, "{}: {}", database.path(), row.error().message);
    return row;
}

Result<void> write_jobs(Sqlite& database, const Change& change) {
    for (const StoredJob& job : change.put_jobs)
        TRY(database.run("INSERT INTO job VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET json = excluded.json",
                         SqliteValues().add(job.name).add(job.json).add(seconds_of(job.added_at))));
    for (const std::string& name : change.removed_jobs) {
        TRY(database.run("DELETE FROM job WHERE name = ?", SqliteValues().add(name)));
        TRY(database.run("DELETE FROM state WHERE job = ?", SqliteValues().add(name)));
    }
    for (const JobState& state : change.states)
        TRY(database.run("INSERT OR REPLACE INTO state VALUES (?, ?)", SqliteValues().add(state.job).add(state_json(state))));
    return {};
}

Result<void> write_rows(Sqlite& database, const Change& change) {
    for (const RunRow& row : change.runs) {
        SqliteValues values;
        values.add(row.job).add(row.period).add(seconds_of(row.decided_at));
        row.ended_at ? values.add(seconds_of(*row.ended_at)) : values.add_null();
        values.add(run_json(row));
        TRY(database.run("INSERT INTO run (job, period, decided_at, ended_at, json) VALUES (?, ?, ?, ?, ?)"
                         " ON CONFLICT (job, period) DO UPDATE SET ended_at = excluded.ended_at, json = excluded.json",
                         values));
    }
    for (const DecisionRow& row : change.decisions)
        TRY(database.run("INSERT INTO decision (at, job, json) VALUES (?, ?, ?)", SqliteValues().add(seconds_of(row.at)).add(row.job).add(decision_json(row))));
    for (const SyncMeasure& measure : change.measures)
        TRY(database.run("INSERT INTO measure (source, at, since, changed_bytes, moved_bytes, seconds) VALUES (?, ?, ?, ?, ?, ?)",
                         SqliteValues()
                             .add(measure.source)
                             .add(seconds_of(measure.at))
                             .add(measure.since.count())
                             .add(static_cast<int64_t>(measure.changed_bytes))
                             .add(static_cast<int64_t>(measure.moved_bytes))
                             .add(measure.seconds)));
    return {};
}

Result<void> write_use(Sqlite& database, const Change& change) {
    for (const auto& [job, use] : change.used)
        TRY(database.run("INSERT INTO month_use (month, job, nanos, api_calls, sent_bytes) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                         " nanos = nanos + excluded.nanos, api_calls = api_calls + excluded.api_calls, sent_bytes = sent_bytes + excluded.sent_bytes",
                         SqliteValues().add(month_of(change.used_at)).add(job).add(use.money.nanos).add(int64_t(use.api_calls)).add(int64_t(use.sent_bytes))));
    return {};
}

Result<std::vector<int64_t>> write_events(Sqlite& database, const Change& change) {
    std::vector<int64_t> ids;
    for (Event event : change.events) {
        TRY(database.run("INSERT INTO event (at, kind, job, body) VALUES (?, ?, ?, ?)",
                         SqliteValues().add(seconds_of(event.at)).add(event.kind).add(event.job).add(event.body_json)));
        event.id = database.last_id();
        ids.push_back(event.id);
        for (const std::string& url : change.urls)
            if (!change.wanted || change.wanted(url, event))
                TRY(database.run("INSERT INTO outbox (url, event, body, attempts, next_try) VALUES (?, ?, ?, 0, ?)",
                                 SqliteValues().add(url).add(event.id).add(event.body_json).add(seconds_of(event.at))));
    }
    for (int64_t id : change.delivered) TRY(database.run("DELETE FROM outbox WHERE id = ?", SqliteValues().add(id)));
    for (const OutboxRow& row : change.retried)
        TRY(database.run("UPDATE outbox SET attempts = ?, next_try = ? WHERE id = ?",
                         SqliteValues().add(int64_t{row.attempts}).add(seconds_of(row.next_try)).add(row.id)));
    return ids;
}

Result<std::vector<int64_t>> write_all(Sqlite& database, const Change& change) {
    TRY(write_jobs(database, change));
    TRY(write_rows(database, change));
    TRY(write_use(database, change));
    auto ids = TRY(write_events(database, change));
    TRY(database.run("COMMIT"));
    return ids;
}

Result<std::vector<RunRow>> read_runs(Sqlite& database, std::string_view query, const SqliteValues& values) {
    std::vector<std::string> texts;
    TRY(database.query(query, values, [&](const SqliteRow& row) { texts.push_back(row.text(0)); }));
    std::vector<RunRow> runs;
    for (const std::string& text : texts) runs.push_back(TRY(parsed(database, parse_run_json(text))));
    return runs;
}

}  // namespace

struct Store::Parts {
    UniqueFd lock;
    std::unique_ptr<Sqlite> database;
};

Store::Store(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

Result<Store> Store::open(const std::string& folder, Access access) {
    bool writable = access == Access::write;
    auto parts = std::make_unique<Parts>();
    if (writable) {
        if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return fail(errno, "{}: make the folder: {}", folder, errno_text(errno));
        parts->lock = TRY(lock(folder));
    }
    parts->database = TRY(Sqlite::open(folder + "/jobs.db", writable));
    if (writable) TRY(check_sound(*parts->database));
    TRY(bring_up(*parts->database, writable));
    if (writable) TRY(sync_folder(folder));
    return Store(std::move(parts));
}

Result<std::vector<int64_t>> Store::commit(const Change& change) {
    Sqlite& database = *parts_->database;
    TRY(database.run("BEGIN IMMEDIATE"));
    auto ids = write_all(database, change);
    // The first error counts; where the transaction is gone already there is nothing to roll back.
    if (!ids) (void)database.run("ROLLBACK");
    return ids;
}

Result<std::vector<StoredJob>> Store::jobs() {
    std::vector<StoredJob> jobs;
    TRY(parts_->database->query("SELECT name, json, added_at FROM job ORDER BY name", {},
                                [&](const SqliteRow& row) { jobs.push_back({row.text(0), row.text(1), instant_of(row.integer(2))}); }));
    return jobs;
}

Result<std::map<std::string, JobState>> Store::states() {
    std::vector<std::string> texts;
    TRY(parts_->database->query("SELECT json FROM state", {}, [&](const SqliteRow& row) { texts.push_back(row.text(0)); }));
    std::map<std::string, JobState> states;
    for (const std::string& text : texts) {
        JobState state = TRY(parsed(*parts_->database, parse_state_json(text)));
        std::string name = state.job;
        states.emplace(std::move(name), std::move(state));
    }
    return states;
}

Result<std::map<std::string, std::vector<SyncMeasure>>> Store::measures() {
    std::map<std::string, std::vector<SyncMeasure>> measures;
    TRY(parts_->database->query(
        "SELECT source, at, since, changed_bytes, moved_bytes, seconds FROM (SELECT *, row_number() OVER (PARTITION BY source ORDER BY id DESC) AS age"
        " FROM measure) WHERE age <= ? OR id IN (SELECT max(id) FROM measure WHERE since = 0 GROUP BY source) ORDER BY id",
        SqliteValues().add(int64_t{measures_used}), [&](const SqliteRow& row) {
            SyncMeasure measure{row.text(0), instant_of(row.integer(1)), Seconds(row.integer(2)), uint64_t(row.integer(3)), uint64_t(row.integer(4)), row.real(5)};
            measures[measure.source].push_back(measure);
        }));
    return measures;
}

Result<MonthUse> Store::used(Instant now) {
    MonthUse used;
    TRY(parts_->database->query("SELECT job, nanos, api_calls, sent_bytes FROM month_use WHERE month = ?", SqliteValues().add(month_of(now)), [&](const SqliteRow& row) {
        used.money[row.text(0)] = Money{row.integer(1)};
        used.api_calls[row.text(0)] = uint64_t(row.integer(2));
        used.sent_bytes[row.text(0)] = uint64_t(row.integer(3));
    }));
    return used;
}

Result<std::optional<RunRow>> Store::run(const std::string& job, const std::string& period) {
    auto rows = TRY(read_runs(*parts_->database, "SELECT json FROM run WHERE job = ? AND period = ?", SqliteValues().add(job).add(period)));
    if (rows.empty()) return std::nullopt;
    return std::move(rows[0]);
}

Result<std::vector<RunRow>> Store::runs(const std::string& job, size_t count_max) {
    return read_runs(*parts_->database, "SELECT json FROM run WHERE ? IN ('', job) ORDER BY id DESC LIMIT ?", SqliteValues().add(job).add(int64_t(count_max)));
}

Result<std::vector<RunRow>> Store::open_runs() {
    return read_runs(*parts_->database, "SELECT json FROM run WHERE ended_at IS NULL ORDER BY id", {});
}

Result<std::vector<DecisionRow>> Store::decisions(const std::string& job, size_t count_max) {
    std::vector<std::pair<int64_t, std::string>> texts;
    TRY(parts_->database->query("SELECT id, json FROM decision WHERE ? IN ('', job) ORDER BY id DESC LIMIT ?", SqliteValues().add(job).add(int64_t(count_max)),
                                [&](const SqliteRow& row) { texts.emplace_back(row.integer(0), row.text(1)); }));
    std::vector<DecisionRow> rows;
    for (const auto& entry : texts) {
        rows.push_back(TRY(parsed(*parts_->database, parse_decision_json(entry.second))));
        rows.back().id = entry.first;
    }
    return rows;
}

Result<int64_t> Store::last_event() { return number(*parts_->database, "SELECT coalesce(max(id), 0) FROM event"); }

Result<std::vector<Event>> Store::events_after(int64_t after, size_t count_max) {
    std::vector<Event> events;
    TRY(parts_->database->query("SELECT id, at, kind, job, body FROM event WHERE id > ? ORDER BY id LIMIT ?", SqliteValues().add(after).add(int64_t(count_max)),
                                [&](const SqliteRow& row) { events.push_back({row.integer(0), instant_of(row.integer(1)), row.text(2), row.text(3), row.text(4)}); }));
    return events;
}

Result<std::vector<OutboxRow>> Store::outbox(Instant now) {
    std::vector<OutboxRow> rows;
    TRY(parts_->database->query("SELECT id, url, event, body, attempts, next_try FROM outbox WHERE id IN (SELECT min(id) FROM outbox GROUP BY url) AND next_try <= ? ORDER BY id",
                                SqliteValues().add(seconds_of(now)), [&](const SqliteRow& row) {
                                    rows.push_back({row.integer(0), row.text(1), row.integer(2), row.text(3), static_cast<unsigned>(row.integer(4)), instant_of(row.integer(5))});
                                }));
    return rows;
}

std::string Store::path() const {
    return parts_->database->path();
}

Result<void> Store::prune(Instant before) {
    SqliteValues at;
    at.add(seconds_of(before));
    Sqlite& database = *parts_->database;
    TRY(database.run("DELETE FROM decision WHERE at < ?", at));
    TRY(database.run("DELETE FROM run WHERE ended_at < ?", at));
    // Those that nobody took in all that time are given up.
    TRY(database.run("DELETE FROM outbox WHERE event IN (SELECT id FROM event WHERE at < ?)", at));
    TRY(database.run("DELETE FROM event WHERE at < ?", at));
    return database.run("DELETE FROM measure WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY source ORDER BY id DESC) AS age"
                        " FROM measure) WHERE age > ?) AND id NOT IN (SELECT max(id) FROM measure WHERE since = 0 GROUP BY source)",
                        SqliteValues().add(int64_t{measures_used}));
}

}  // namespace hyper::scheduler
