// SPDX-License-Identifier: Apache-2.0
// carbon-figures DATA [FIGURE...]: replays published traces through the planner. bench/carbon-figures calls it.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "bench/carbon/figures.h"

namespace hyper::figures {
namespace {

bool all_passed = true;

void line(int figure, const std::string& name, const std::string& expected, double got, const std::string& rule, bool pass) {
    all_passed = all_passed && pass;
    fmt::print("{}\t{}\t{}\t{:.6g}\t{}\t{}\n", figure, name, expected, got, rule, pass ? "yes" : "NO");
    std::fflush(stdout);
}

int run(int argc, char** argv) {
    std::set<int> wanted;
    for (int i = 2; i < argc; i++) wanted.insert(std::atoi(argv[i]));
    struct Part {
        int figure;
        Result<void> (*make)(const std::string& data);
    };
    for (const Part& part :
         {Part{1, lets_wait_awhile}, Part{1, sukprasert_hours}, Part{1, sukprasert_table}, Part{2, issued_forecasts}, Part{3, failing_feeds}}) {
        if (!wanted.empty() && !wanted.contains(part.figure)) continue;
        auto made = part.make(argv[1]);
        if (!made) {
            fmt::print(stderr, "carbon-figures: {}\n", made.error().message);
            return 2;
        }
    }
    return all_passed ? 0 : 1;
}

}  // namespace

void compare(int figure, const std::string& name, double expected, double got, double tolerance) {
    line(figure, name, fmt::format("{:.6g}", expected), got, fmt::format("within {:g}", tolerance), std::abs(got - expected) <= tolerance);
}

void at_least(int figure, const std::string& name, double bar, double got) {
    line(figure, name, fmt::format("{:g}", bar), got, "at least", got >= bar);
}

void tell(int figure, const std::string& name, double got) {
    line(figure, name, "", got, "", true);
}

}  // namespace hyper::figures

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: carbon-figures DATA [FIGURE...]\n");
        return 2;
    }
    return hyper::figures::run(argc, argv);
}
