// SPDX-License-Identifier: Apache-2.0
// Price files of vendors' feeds, which somebody has downloaded.
#include <fmt/format.h>

#include <cerrno>
#include <fstream>

#include "scheduler/cost/import/aws.h"
#include "scheduler/cost/import/azure.h"
#include "scheduler/cost/import/gcp.h"
#include "scheduler/cost/import/oci.h"
#include "scheduler/cost/import/power_feeds.h"
#include "tools/hyperctl/cost.h"
#include "tools/hyperctl/table.h"

namespace hyper::ctl {

namespace {

using namespace scheduler;

struct ImportOptions {
    std::string vendor, effective, tariff;
    std::vector<std::string> files;
};

// Opens each file in turn; `read` takes it.
template <class Read>
Result<void> each_file(const ImportOptions& options, Read read_one) {
    std::vector<char> buffer(size_t{1} << 20);
    for (const std::string& file : options.files) {
        std::ifstream in;
        in.rdbuf()->pubsetbuf(buffer.data(), std::streamsize(buffer.size()));
        in.open(file, std::ios::binary);
        if (!in) return fail(errno, "{}: {}", file, errno_text(errno));
        TRY(read_one(in, file));
    }
    return {};
}

Result<int> import_prices(const ImportOptions& options) {
    PriceCollector collector;
    auto read = each_file(options, [&](std::istream& in, const std::string& file) {
        if (options.vendor == "aws") return import_aws(in, file, collector);
        if (options.vendor == "azure") return import_azure(in, file, collector);
        if (options.vendor == "gcp") return import_gcp(in, file, collector);
        return import_oci(in, file, options.effective, collector);
    });
    if (!read) return tl::unexpected(read.error());
    ImportedPrices imported = TRY(std::move(collector).finish());
    fmt::print("{}", price_csv(imported));
    std::fflush(stdout);
    for (const Refusal& refusal : imported.refused) fmt::print(stderr, "hyperctl: left out {}: {}\n", printable(refusal.name), printable(refusal.why));
    fmt::print(stderr, "hyperctl: {} prices; left out {} that are not understood, and {} of products that syncs do not use\n", imported.prices.size(),
               imported.refused_count, imported.other_count);
    return imported.refused_count == 0 ? exit_ok : exit_partial;
}

Result<int> import_power(const ImportOptions& options) {
    std::string rows = power_csv_header();
    uint64_t steps = 0, gaps = 0;
    auto read = each_file(options, [&](std::istream& in, const std::string& file) -> Result<void> {
        PowerFeed feed = TRY(options.vendor == "octopus" ? read_octopus(in, file) : read_energy_charts(in, file));
        rows += power_csv_rows(feed, options.tariff.empty() ? options.vendor : options.tariff);
        steps += feed.steps.size(), gaps += feed.gaps;
        return {};
    });
    if (!read) return tl::unexpected(read.error());
    fmt::print("{}", rows);
    std::fflush(stdout);
    fmt::print(stderr, "hyperctl: {} prices, {} gaps\n", steps, gaps);
    return exit_ok;
}

}  // namespace

void add_cost_import(CLI::App& cost, Command& chosen) {
    auto* command = cost.add_subcommand("import", "Print a price file, made of a vendor's price feed");
    auto options = std::make_shared<ImportOptions>();
    command->add_option("VENDOR", options->vendor, "aws, azure, gcp, oci; octopus or energy-charts for electricity")
        ->required()
        ->check(CLI::IsMember({"aws", "azure", "gcp", "oci", "octopus", "energy-charts"}));
    command->add_option("FILE", options->files, "JSON of the feed; pages, or services and regions, are files of their own")->required();
    command->add_option("--effective", options->effective, "the day from which prices hold, for a list of oci that does not say it")->type_name("DATE");
    command->add_option("--tariff", options->tariff, "name of the tariff, for electricity")->type_name("NAME");
    command->callback([options, &chosen] {
        bool power = options->vendor == "octopus" || options->vendor == "energy-charts";
        chosen.run = [options, power](Engine&) { return power ? import_power(*options) : import_prices(*options); };
    });
}

}  // namespace hyper::ctl
