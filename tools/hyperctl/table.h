// SPDX-License-Identifier: Apache-2.0
// Text for people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hyper::ctl {

// "64 KiB", "1.5 GiB": at most one decimal.
std::string human_bytes(uint64_t bytes);
// "12 us", "1.5 ms", "2.3 s": at most one decimal.
std::string human_time(uint64_t ns);
// Names and values out of images, fit for a terminal: control characters become "?".
std::string printable(std::string_view text);

// Columns as wide as their cells; the columns whose heading begins with ">" are aligned to the right.
class Table {
  public:
    explicit Table(std::vector<std::string> headings) : headings_(std::move(headings)) {}
    void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
    void print() const;

  private:
    std::vector<std::string> headings_;
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace hyper::ctl
