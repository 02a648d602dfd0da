// SPDX-License-Identifier: Apache-2.0
// Reads lines "EXPRESSION TAB ZONE TAB UNIX-TIME" and prints when that calendar is next due, as unix time: "-" for never, "? why" for an
// error. The comparison with other schedulers runs it.
#include <cstdlib>
#include <iostream>
#include <string>

#include "scheduler/calendar/calendar.h"

int main() {
    using namespace hyper;
    for (std::string line; std::getline(std::cin, line);) {
        size_t zone = line.find('\t'), time = line.find('\t', zone + 1);
        if (time == std::string::npos) return 2;
        auto calendar = scheduler::Calendar::parse(line.substr(0, zone), line.substr(zone + 1, time - zone - 1));
        if (!calendar) {
            std::cout << "? " << calendar.error().message << "\n";
            continue;
        }
        auto due = calendar->next(Instant(Seconds(std::atoll(line.c_str() + time + 1))));
        std::cout << (due ? std::to_string(due->time_since_epoch().count()) : "-") << "\n";
    }
    return 0;
}
