// SPDX-License-Identifier: Apache-2.0
#include "carbon/energy.h"

#include <cerrno>
#include <map>

#include "blockengine/base/csv.h"
#include "carbon/tables.h"

namespace hyper::carbon {
namespace {

const std::map<std::string, Estimate, std::less<>>& coefficients() {
    static const auto all = [] {
        std::map<std::string, Estimate, std::less<>> read;
        auto table = CsvTable::parse(energy_coefficients_csv, "energy-coefficients.csv");
        for (size_t row = 0; table && row < table->row_count(); row++) {
            auto number = [&](size_t column) {
                auto value = table->number(row, column);
                return value ? value->value_or(0) : 0;
            };
            read[table->cell(row, 0)] = {number(2), number(3), number(4)};
        }
        return read;
    }();
    return all;
}

// In kWh.
Result<Estimate> energy_of_end(const SyncEnd& end) {
    // What has no coefficient of its own has AWS's: the vendors' lie within 20 % of each other.
    bool own = coefficients().contains("vcpu_" + end.place);
    Estimate watts = TRY(coefficient(end.place == "onprem" ? "server_onprem" : own ? "vcpu_" + end.place : "vcpu_aws"));
    Estimate disk = TRY(coefficient(end.ssd ? "disk_ssd" : "disk_hdd"));
    Estimate pue = TRY(coefficient("pue_" + end.place));
    return pue * (watts * end.cpu_hours + disk * end.disk_tb_hours) * 1e-3;
}

}  // namespace

Result<Estimate> coefficient(std::string_view name) {
    auto found = coefficients().find(name);
    if (found == coefficients().end()) return fail(EINVAL, "no energy coefficient \"{}\" (see energy-coefficients.csv)", name);
    return found->second;
}

Result<SyncEnergy> energy_of_sync(const SyncEnd& source, const SyncEnd& target, uint64_t network_bytes) {
    SyncEnergy energy;
    energy.source = TRY(energy_of_end(source));
    energy.target = TRY(energy_of_end(target));
    energy.network = TRY(coefficient("network")) * (double(network_bytes) / 1e9);
    return energy;
}

}  // namespace hyper::carbon
