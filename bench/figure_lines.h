// SPDX-License-Identifier: Apache-2.0
// What a program of figures prints: lines that bench/figure_report.py makes tables of, "figure TAB name TAB expected TAB got TAB rule TAB pass".
#pragma once

#include <string>

namespace hyper::figures {

// `tolerance` is absolute.
void compare(int figure, const std::string& name, double expected, double got, double tolerance);
void at_least(int figure, const std::string& name, double bar, double got);
void at_most(int figure, const std::string& name, double bar, double got);
// As information, without a bar.
void tell(int figure, const std::string& name, double got);

// Whether all that had a rule kept it.
bool all_passed();

}  // namespace hyper::figures
