// SPDX-License-Identifier: Apache-2.0
#include <lemon/network_simplex.h>
#include <lemon/smart_graph.h>

#include <cmath>

#include "bench/planner/flow.h"

namespace hyper::figures {

std::optional<double> least_cost(const FlowNetwork& network) {
    lemon::SmartDigraph graph;
    graph.reserveNode(network.node_count);
    for (int i = 0; i < network.node_count; i++) graph.addNode();
    lemon::SmartDigraph::NodeMap<int64_t> supply(graph, 0);
    for (int i = 0; i < network.node_count; i++) supply[lemon::SmartDigraph::nodeFromId(i)] = network.supply[size_t(i)];
    lemon::SmartDigraph::ArcMap<int64_t> capacity(graph), cost(graph);
    // Whole numbers, so that the simplex is exact.
    constexpr double scale = 1e6;
    for (const FlowArc& arc : network.arcs) {
        auto made = graph.addArc(lemon::SmartDigraph::nodeFromId(arc.from), lemon::SmartDigraph::nodeFromId(arc.to));
        capacity[made] = arc.capacity;
        cost[made] = std::llround(arc.cost * scale);
    }
    lemon::NetworkSimplex<lemon::SmartDigraph, int64_t, int64_t> simplex(graph);
    simplex.upperMap(capacity).costMap(cost).supplyMap(supply);
    if (simplex.run() != decltype(simplex)::OPTIMAL) return std::nullopt;
    return double(simplex.totalCost<int64_t>()) / scale;
}

}  // namespace hyper::figures
