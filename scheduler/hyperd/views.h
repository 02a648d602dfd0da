// SPDX-License-Identifier: Apache-2.0
// What the API tells of things, as JSON: the shapes are those of schemas.json.
#pragma once

#include "blockengine/volume/generation.h"
#include "scheduler/hyperd/daemon.h"
#include "scheduler/hyperd/problem.h"

namespace hyper::hyperd {

Json json_of(const JobView& view);
Json json_of(const scheduler::RunRow& row);
Json json_of(const scheduler::Decision& decision);
Json json_of(const scheduler::DecisionRow& row);
Json json_of(const scheduler::Event& event);
Json json_of(const Generation& generation);
// A ZoneSignal.
Json json_of(const carbon::CarbonStatus& status);
// {"low", "middle", "high"}, or null.
Json json_of(const std::optional<carbon::Estimate>& estimate);
// RFC 3339, or null.
Json json_of(const std::optional<Instant>& instant);

}  // namespace hyper::hyperd
