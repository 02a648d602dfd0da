// SPDX-License-Identifier: Apache-2.0
#include "bench/figure_lines.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdio>

namespace hyper::figures {
namespace {

bool passed = true;

void line(int figure, const std::string& name, const std::string& expected, double got, const std::string& rule, bool pass) {
    passed = passed && pass;
    fmt::print("{}\t{}\t{}\t{:.6g}\t{}\t{}\n", figure, name, expected, got, rule, pass ? "yes" : "NO");
    std::fflush(stdout);
}

}  // namespace

void compare(int figure, const std::string& name, double expected, double got, double tolerance) {
    line(figure, name, fmt::format("{:.6g}", expected), got, fmt::format("within {:g}", tolerance), std::abs(got - expected) <= tolerance);
}

void at_least(int figure, const std::string& name, double bar, double got) {
    line(figure, name, fmt::format("{:g}", bar), got, "at least", got >= bar);
}

void at_most(int figure, const std::string& name, double bar, double got) {
    line(figure, name, fmt::format("{:g}", bar), got, "at most", got <= bar);
}

void tell(int figure, const std::string& name, double got) {
    line(figure, name, "", got, "", true);
}

bool all_passed() {
    return passed;
}

}  // namespace hyper::figures
