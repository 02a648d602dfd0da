// SPDX-License-Identifier: Apache-2.0
// hyperd's configuration: one TOML file of jobs and policies, and what the daemon itself needs.
//
//     [policies.nightly]                          [jobs.db]
//     rpo = "24h"                                 source = "libvirt://db/vda"
//     every = "OnCalendar=*-*-* 01:00"            volume = "/var/lib/hyper/volumes/db"
//     timezone = "Europe/Berlin"                  policy = "nightly"
//     carbon = {source_zone = "DE"}               retry = {max = 3}
//
// A key that is not known is an error that names file, line and the nearest one that is. All keys stand in one table in config.cpp, of which
// both the reader and the published JSON Schema are made; so they cannot differ.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "scheduler/jobs/job.h"

namespace hyper::scheduler {

struct Webhook {
    std::string url;
    std::string secret_file;          // the HMAC's key
    std::vector<std::string> events;  // kinds of events (state/event.h), "*" at the end for any; empty: all
};

struct ApiConfig {
    std::string socket;      // a path; empty: the default below the root
    std::string listen;      // HOST:PORT; empty: no TCP
    std::string token_file;  // needed for TCP
    std::string tls_certificate, tls_key;
    std::string group;  // whose members the Unix socket lets in besides the same user and root
    std::vector<Webhook> webhooks;
};

struct Feed {
    std::string kind;  // electricitymaps, watttime (marginal), watttime-average, gb-carbon-intensity, energy-charts
    std::string token_file;
    std::string base_url;            // empty: the service's own
    std::vector<std::string> zones;  // today's ids; empty: all that jobs name
    unsigned calls_per_minute = 0, calls_per_month = 0;  // 0: no limit of ours
};

struct ZoneConfig {
    std::vector<std::string> feeds;  // names, the best first; empty: every feed that has the zone, in order of their names
    std::string region;              // WattTime's, which names none of its own accord
    std::string tariff_file;         // price of power there: CSV of one tariff, as cost/power.h reads it
};

struct PricesConfig {
    std::vector<std::string> files;  // CSV, as prices.h reads them; besides those that are built in
};

struct Config {
    std::map<std::string, Policy> policies;
    std::map<std::string, Job> jobs;
    GlobalLimits limits;
    std::map<std::string, Feed> feeds;
    std::map<std::string, ZoneConfig> zones;  // by today's ids
    PricesConfig prices;
    ApiConfig api;
    std::string state_folder;  // empty: the default below the root
    std::string carbon_table;  // CSV, as carbon/table_signal.h reads it; empty: none
    std::vector<std::string> warnings;  // what is legal but will hardly do what was meant, each with file and line
};

// Errors: what open and read give; EINVAL with file, line, key, value and what would be right.
Result<Config> read_config(const std::string& path);
// The same of text; `name` stands in messages.
Result<Config> parse_config(std::string_view toml, const std::string& name);

// A job as the API takes it: a JSON object with the keys of a job in the file. Policies are those of `config`. The name is 1 to 64 letters, digits,
// '-', '_' and '.', the first of them a letter or digit. After this the job is not in `config`: see add_job().
Result<Job> parse_job_json(std::string_view json, const std::string& name, const Config& config);
// EEXIST if there is one of that name; EINVAL where its dependencies are not there or go in a circle. Nothing is changed then.
Result<void> add_job(Config& config, Job job);

// JSON Schema (draft 2020-12) of the file, as `hyperd --schema` prints it; of one job, as the API's OpenAPI document needs it.
std::string config_schema();
std::string job_schema();

}  // namespace hyper::scheduler
