// SPDX-License-Identifier: Apache-2.0
#include "scheduler/state/sqlite.h"

#include <sqlite3.h>

#include <cerrno>
#include <map>

namespace hyper::scheduler {

struct SqliteHandles {
    sqlite3* database = nullptr;
    std::map<std::string, sqlite3_stmt*, std::less<>> prepared;  // by text; there are as many as the program has
};

namespace {

// A reader waits for a checkpoint, a writer for a reader that begins.
constexpr int busy_ms = 5000;

}  // namespace

bool SqliteRow::null(int column) const {
    return sqlite3_column_type(static_cast<sqlite3_stmt*>(statement_), column) == SQLITE_NULL;
}
int64_t SqliteRow::integer(int column) const {
    return sqlite3_column_int64(static_cast<sqlite3_stmt*>(statement_), column);
}
double SqliteRow::real(int column) const {
    return sqlite3_column_double(static_cast<sqlite3_stmt*>(statement_), column);
}
std::string SqliteRow::text(int column) const {
    auto* statement = static_cast<sqlite3_stmt*>(statement_);
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
    return bytes ? std::string(bytes, static_cast<size_t>(sqlite3_column_bytes(statement, column))) : std::string();
}

SqliteValues& SqliteValues::add(int64_t value) {
    values_.push_back({Value::Kind::integer, value, 0, {}});
    return *this;
}
SqliteValues& SqliteValues::add(double value) {
    values_.push_back({Value::Kind::real, 0, value, {}});
    return *this;
}
SqliteValues& SqliteValues::add(std::string_view value) {
    values_.push_back({Value::Kind::text, 0, 0, std::string(value)});
    return *this;
}
SqliteValues& SqliteValues::add_null() {
    values_.emplace_back();
    return *this;
}

Sqlite::Sqlite(std::string path) : path_(std::move(path)), handles_(std::make_unique<SqliteHandles>()) {}

Sqlite::~Sqlite() {
    for (const auto& entry : handles_->prepared) sqlite3_finalize(entry.second);
    sqlite3_close(handles_->database);
}

Error Sqlite::error_of(int code, std::string_view what) const {
    const char* text = handles_->database ? sqlite3_errmsg(handles_->database) : sqlite3_errstr(code);
    switch (code & 0xff) {
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            return {EBUSY, fmt::format("{}: {}: another process holds it (is hyperd running twice?)", path_, what)};
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
            return {EIO, fmt::format("{}: {}: the database is damaged ({}); stop hyperd, keep a copy of it, and either restore it from a backup, or save what can be read: "
                                     "sqlite3 {} .recover | sqlite3 recovered.db",
                                     path_, what, text, path_)};
        case SQLITE_FULL:
            return {ENOSPC, fmt::format("{}: {}: no space is left", path_, what)};
        case SQLITE_CANTOPEN:
            return {ENOENT, fmt::format("{}: {}: {}", path_, what, text)};
        case SQLITE_READONLY:
        case SQLITE_PERM:
            return {EACCES, fmt::format("{}: {}: {}", path_, what, text)};
        default:
            return {EIO, fmt::format("{}: {}: {}", path_, what, text)};
    }
}

Result<std::unique_ptr<Sqlite>> Sqlite::open(const std::string& path, bool writable) {
    std::unique_ptr<Sqlite> made(new Sqlite(path));
    int flags = (writable ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY) | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int code = sqlite3_open_v2(path.c_str(), &made->handles_->database, flags, nullptr);
    if (code != SQLITE_OK) return tl::unexpected(made->error_of(code, "open it"));
    sqlite3_busy_timeout(made->handles_->database, busy_ms);
    if (writable) {
        TRY(made->run("PRAGMA journal_mode = WAL"));
        TRY(made->run("PRAGMA synchronous = FULL"));
    }
    TRY(made->run("PRAGMA foreign_keys = ON"));
    return made;
}

Result<void> Sqlite::begin(std::string_view statement, const SqliteValues& values, SqliteRow& row) {
    auto found = handles_->prepared.find(statement);
    if (found == handles_->prepared.end()) {
        sqlite3_stmt* made = nullptr;
        int code = sqlite3_prepare_v2(handles_->database, statement.data(), static_cast<int>(statement.size()), &made, nullptr);
        if (code != SQLITE_OK) return tl::unexpected(error_of(code, statement.substr(0, 40)));
        found = handles_->prepared.emplace(statement, made).first;
    }
    sqlite3_stmt* prepared = found->second;
    sqlite3_reset(prepared);
    int index = 1;
    for (const SqliteValues::Value& value : values.values_) {
        using Kind = SqliteValues::Value::Kind;
        int code = SQLITE_OK;
        if (value.kind == Kind::integer)
            code = sqlite3_bind_int64(prepared, index, value.integer);
        else if (value.kind == Kind::real)
            code = sqlite3_bind_double(prepared, index, value.real);
        else if (value.kind == Kind::text)
            code = sqlite3_bind_text64(prepared, index, value.text.data(), value.text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
        else
            code = sqlite3_bind_null(prepared, index);
        if (code != SQLITE_OK) return tl::unexpected(error_of(code, statement.substr(0, 40)));
        index++;
    }
    row.statement_ = prepared;
    return {};
}

Result<bool> Sqlite::step(SqliteRow& row) {
    auto* statement = static_cast<sqlite3_stmt*>(row.statement_);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) return true;
    Error error = code == SQLITE_DONE ? Error{} : error_of(code, std::string_view(sqlite3_sql(statement)).substr(0, 40));
    sqlite3_reset(statement);
    if (code == SQLITE_DONE) return false;
    return tl::unexpected(std::move(error));
}

Result<void> Sqlite::run(std::string_view statement, const SqliteValues& values) {
    return query(statement, values, [](const SqliteRow&) {});
}

int64_t Sqlite::last_id() const {
    return sqlite3_last_insert_rowid(handles_->database);
}

}  // namespace hyper::scheduler
