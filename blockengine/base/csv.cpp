// SPDX-License-Identifier: Apache-2.0
#include "blockengine/base/csv.h"

#include <cerrno>
#include <charconv>
#include <cmath>
#include <fstream>

#include <fmt/ranges.h>

namespace hyper {
namespace {

constexpr size_t file_bytes_max = size_t{256} << 20;

// The fields of the line that begins at `at`, which moves behind it; false where a quote stays open.
bool take_line(std::string_view text, size_t& at, size_t& line, std::vector<std::string>& fields) {
    fields.assign(1, {});
    bool quoted = false;
    for (; at < text.size(); at++) {
        char c = text[at];
        if (c == '\n') line++;
        if (quoted) {
            if (c != '"') {
                fields.back() += c;
            } else if (at + 1 < text.size() && text[at + 1] == '"') {
                fields.back() += text[++at];
            } else {
                quoted = false;
            }
        } else if (c == '"') {
            quoted = true;
        } else if (c == ',') {
            fields.emplace_back();
        } else if (c == '\n') {
            at++;
            return true;
        } else if (c != '\r') {
            fields.back() += c;
        }
    }
    return !quoted;
}

}  // namespace

Result<CsvTable> CsvTable::parse(std::string_view text, std::string_view name) {
    CsvTable table;
    table.name_ = name;
    std::vector<std::string> fields;
    size_t next_line = 1;
    for (size_t at = 0; at < text.size();) {
        size_t line = next_line;
        bool comment = text[at] == '#';
        if (comment) {
            at = std::min(text.find('\n', at), text.size() - 1) + 1;
            next_line++;
            continue;
        }
        if (!take_line(text, at, next_line, fields)) return fail(EINVAL, "{}: line {}: a quote is not closed", name, line);
        if (fields.size() == 1 && fields[0].empty()) continue;
        if (table.columns_.empty()) {
            table.columns_ = fields;
            continue;
        }
        if (fields.size() != table.columns_.size())
            return fail(EINVAL, "{}: line {}: {} fields where the header has {}", name, line, fields.size(), table.columns_.size());
        table.cells_.insert(table.cells_.end(), fields.begin(), fields.end());
        table.lines_.push_back(line);
    }
    if (table.columns_.empty()) return fail(EINVAL, "{}: is empty; a header line is needed", name);
    return table;
}

Result<CsvTable> CsvTable::read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return fail(errno, "open table {}: {}", path, errno_text(errno));
    std::string text;
    char buffer[65536];
    while (file.read(buffer, sizeof buffer), file.gcount() > 0) {
        text.append(buffer, static_cast<size_t>(file.gcount()));
        if (text.size() > file_bytes_max) return fail(EFBIG, "{}: is larger than {} bytes", path, file_bytes_max);
    }
    if (file.bad()) return fail(EIO, "read table {}: {}", path, errno_text(EIO));
    return parse(text, path);
}

std::optional<size_t> CsvTable::find_column(std::string_view column) const {
    for (size_t i = 0; i < columns_.size(); i++)
        if (columns_[i] == column) return i;
    return std::nullopt;
}

Result<size_t> CsvTable::column(std::string_view column) const {
    if (auto found = find_column(column)) return *found;
    return fail(EINVAL, "{}: has no column \"{}\"; it has {}", name_, column, fmt::join(columns_, ", "));
}

Result<std::optional<double>> CsvTable::number(size_t row, size_t column) const {
    const std::string& text = cell(row, column);
    if (text.empty()) return std::nullopt;
    double value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
        return fail(EINVAL, "{}: line {}: {} \"{}\" is no number", name_, lines_[row], columns_[column], text.substr(0, 32));
    return value;
}

}  // namespace hyper
