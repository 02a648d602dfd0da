// SPDX-License-Identifier: Apache-2.0
// A flow of least cost. Apart from everything else, since LEMON's headers are C++17.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace hyper::figures {

struct FlowArc {
    int from = 0, to = 0;
    int64_t capacity = 1;
    double cost = 0;
};

struct FlowNetwork {
    int node_count = 0;
    std::vector<int64_t> supply;  // by node; what is below 0 is wanted
    std::vector<FlowArc> arcs;
};

// Nothing where the supplies do not fit.
std::optional<double> least_cost(const FlowNetwork& network);

}  // namespace hyper::figures
