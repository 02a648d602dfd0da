// SPDX-License-Identifier: Apache-2.0
// Tables in text files: a header line, then rows, fields parted by commas (RFC 4180: a field that holds a comma or
// a quote stands in double quotes). Lines that begin with '#' are comments. Everything is in memory.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "blockengine/base/result.h"

namespace hyper {

class CsvTable {
  public:
    // `name` stands in messages. EINVAL with the line where a row has not as many fields as the header, or a quote stays open.
    static Result<CsvTable> parse(std::string_view text, std::string_view name);
    // ENOENT and so on; EFBIG above 256 MiB.
    static Result<CsvTable> read(const std::string& path);

    const std::vector<std::string>& columns() const { return columns_; }
    size_t row_count() const { return cells_.size() / columns_.size(); }
    // Which column has that name.
    std::optional<size_t> find_column(std::string_view column) const;
    // As find_column(), or EINVAL that names the columns there are.
    Result<size_t> column(std::string_view column) const;
    const std::string& cell(size_t row, size_t column) const { return cells_[row * columns_.size() + column]; }
    // A finite number; nothing for an empty cell; EINVAL, with row and column, for anything else.
    Result<std::optional<double>> number(size_t row, size_t column) const;
    // What was made of a cell; an error says line and column besides.
    template <class T>
    Result<T> made_of(size_t row, size_t column, Result<T> made) const {
        if (!made) return fail(made.error().code, "line {}: {}: {}", lines_[row], columns_[column], made.error().message);
        return made;
    }

  private:
    std::string name_;
    std::vector<std::string> columns_;
    std::vector<std::string> cells_;
    std::vector<size_t> lines_;  // of each row, for messages
};

}  // namespace hyper
