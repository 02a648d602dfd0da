// SPDX-License-Identifier: Apache-2.0
// SQLite as values and Results; sqlite3.h is included in sqlite.cpp alone. Bound to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "blockengine/base/result.h"

namespace hyper::scheduler {

struct SqliteHandles;

// A row that a query gives; columns count from 0.
class SqliteRow {
  public:
    bool null(int column) const;
    int64_t integer(int column) const;
    double real(int column) const;
    std::string text(int column) const;

  private:
    friend class Sqlite;
    friend class SqliteQuery;
    void* statement_ = nullptr;
};

// Values for the question marks of a statement, in order.
class SqliteValues {
  public:
    SqliteValues& add(int64_t value);
    SqliteValues& add(double value);
    SqliteValues& add(std::string_view value);
    SqliteValues& add_null();

  private:
    friend class Sqlite;
    struct Value {
        enum class Kind { null, integer, real, text } kind = Kind::null;
        int64_t integer = 0;
        double real = 0;
        std::string text;
    };
    std::vector<Value> values_;
};

class Sqlite {
  public:
    // A writer makes the file. A commit is durable on return. EBUSY where another one writes; EIO for a damaged file.
    static Result<std::unique_ptr<Sqlite>> open(const std::string& path, bool writable);
    ~Sqlite();

    // Statements that answer nothing.
    Result<void> run(std::string_view statement, const SqliteValues& values = {});
    // Calls `each` for each row: void(const SqliteRow&).
    template <class Each>
    Result<void> query(std::string_view statement, const SqliteValues& values, Each each) {
        SqliteRow row;
        TRY(begin(statement, values, row));
        while (TRY(step(row))) each(row);
        return {};
    }
    int64_t last_id() const;
    const std::string& path() const { return path_; }

  private:
    explicit Sqlite(std::string path);
    Result<void> begin(std::string_view statement, const SqliteValues& values, SqliteRow& row);
    Result<bool> step(SqliteRow& row);
    Error error_of(int code, std::string_view what) const;

    std::string path_;
    std::unique_ptr<SqliteHandles> handles_;
};

}  // namespace hyper::scheduler
