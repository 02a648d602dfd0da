// SPDX-License-Identifier: Apache-2.0
// The energy of a sync, and what it emits. Location-based and operational: E * I of the Software Carbon Intensity specification (ISO/IEC 21031:2024);
// embodied emissions and the storage of generations are other sums, never mixed into this one.
//
//   E = PUE * (vCPUs * W * hours + disk) of each end + network * GB       each with low, middle and high coefficients
//   CO2 = sum over the run of E per second * intensity at that end's zone; the network's half by half with either end
#pragma once

#include <string>
#include <string_view>

#include "carbon/intensity.h"

namespace hyper::carbon {

// An estimate, and within what it lies.
struct Estimate {
    double low = 0, middle = 0, high = 0;

    Estimate operator+(const Estimate& other) const { return {low + other.low, middle + other.middle, high + other.high}; }
    Estimate operator*(const Estimate& other) const { return {low * other.low, middle * other.middle, high * other.high}; }
    Estimate operator*(double factor) const { return {low * factor, middle * factor, high * factor}; }
};

// A row of energy-coefficients.csv, which is built in. EINVAL for a name that it has not.
Result<Estimate> coefficient(std::string_view name);

// One end of a sync. Hours of CPU and bytes are measured by the appliance; only watts and PUE are assumed.
struct SyncEnd {
    std::string place = "onprem";  // aws, azure, gcp, alibaba, oci or onprem: whose vCPU and PUE
    double cpu_hours = 0;          // vCPU-hours; on-premises: hours of a whole server
    double disk_tb_hours = 0;      // TB (10^12 bytes) that are read or written, times the hours of the run
    bool ssd = true;
};

// In kWh.
struct SyncEnergy {
    Estimate source, target;  // PUE included
    Estimate network;

    Estimate total() const { return source + target + network; }
};

// `network_bytes`: what crosses the line, after compression.
Result<SyncEnergy> energy_of_sync(const SyncEnd& source, const SyncEnd& target, uint64_t network_bytes);

// In grams: the energy spread evenly over [from, until), each end with its own zone's intensity as measured. Nothing where that is
// not known for the whole run.
template <SignalKind kind>
std::optional<Estimate> grams_of_run(const SyncEnergy& energy, const IntensitySeries<kind>& at_source, const IntensitySeries<kind>& at_target,
                                     Instant from, Instant until) {
    auto source = at_source.mean(from, until), target = at_target.mean(from, until);
    if (!source || !target) return std::nullopt;
    return energy.source * *source + energy.target * *target + energy.network * ((*source + *target) / 2);
}

}  // namespace hyper::carbon
