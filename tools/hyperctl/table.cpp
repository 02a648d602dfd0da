// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

namespace hyper::ctl {

namespace {

std::string number_with_unit(double value, double step, std::span<const std::string_view> units) {
    size_t unit = 0;
    while (value >= step && unit + 1 < units.size()) {
        value /= step;
        ++unit;
    }
    std::string number = fmt::format("{:.1f}", value);
    if (number.ends_with(".0")) number.resize(number.size() - 2);
    return number + " " + std::string(units[unit]);
}

}  // namespace

std::string human_bytes(uint64_t bytes) {
    constexpr std::string_view units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    return number_with_unit(static_cast<double>(bytes), 1024, units);
}

std::string human_time(uint64_t ns) {
    constexpr std::string_view units[] = {"ns", "us", "ms", "s"};
    return number_with_unit(static_cast<double>(ns), 1000, units);
}

std::string printable(std::string_view text) {
    std::string clean(text);
    for (char& c : clean)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    return clean;
}

void Table::print() const {
    std::vector<size_t> widths;
    std::vector<bool> right;
    for (const std::string& heading : headings_) {
        right.push_back(heading.starts_with('>'));
        widths.push_back(heading.size() - right.back());
    }
    for (const auto& row : rows_)
        for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    auto line = [&](const std::vector<std::string>& cells) {
        std::string text;
        for (size_t i = 0; i < cells.size(); ++i)
            text += right[i] ? fmt::format("{:>{}}  ", cells[i], widths[i]) : fmt::format("{:<{}}  ", cells[i], widths[i]);
        text.erase(text.find_last_not_of(' ') + 1);
        fmt::print("{}\n", text);
    };
    std::vector<std::string> headings = headings_;
    for (size_t i = 0; i < headings.size(); ++i)
        if (right[i]) headings[i].erase(0, 1);
    line(headings);
    for (const auto& row : rows_) {
        std::vector<std::string> cells;
        for (const std::string& cell : row) cells.push_back(printable(cell));
        line(cells);
    }
}

}  // namespace hyper::ctl
