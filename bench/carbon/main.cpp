// SPDX-License-Identifier: Apache-2.0
// carbon-figures DATA [FIGURE...]: replays published traces through the planner. bench/carbon-figures calls it.
#include <cstdio>
#include <cstdlib>
#include <set>

#include "bench/carbon/figures.h"

namespace hyper::figures {
namespace {

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
    return all_passed() ? 0 : 1;
}

}  // namespace
}  // namespace hyper::figures

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: carbon-figures DATA [FIGURE...]\n");
        return 2;
    }
    return hyper::figures::run(argc, argv);
}
