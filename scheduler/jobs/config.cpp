// SPDX-License-Identifier: Apache-2.0
#include "scheduler/jobs/config.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>

#include "carbon/zones.h"
#include "scheduler/jobs/policy_keys.h"

namespace hyper::scheduler {
namespace {

constexpr size_t config_bytes_max = 64 * 1024 * 1024;

const Keys<Webhook>& webhook_keys() {
    static const Keys<Webhook> keys = Keys<Webhook>()
                                          .key("url", &Webhook::url, text(), "Where events are posted to", true)
                                          .key("secret_file", &Webhook::secret_file, text(), "Holds the key of the HMAC that signs them", true)
                                          .key("events", &Webhook::events, list(text(64)), "Kinds of events, as run.failed, or run.*; all if left out");
    return keys;
}

const Keys<ApiConfig>& api_keys() {
    static const Keys<ApiConfig> keys = Keys<ApiConfig>()
                                            .key("socket", &ApiConfig::socket, text(100), "Path of the Unix socket")
                                            .key("listen", &ApiConfig::listen, text(256), "HOST:PORT for TCP; off loopback only with tls_certificate and tls_key")
                                            .key("token_file", &ApiConfig::token_file, text(), "Tokens of clients and what they may do; needed for TCP")
                                            .key("tls_certificate", &ApiConfig::tls_certificate, text(), "PEM file")
                                            .key("tls_key", &ApiConfig::tls_key, text(), "PEM file")
                                            .key("group", &ApiConfig::group, text(64), "Whose members the Unix socket lets in besides root and hyperd's own user")
                                            .key("webhooks", &ApiConfig::webhooks, list(webhook_keys().kind(), 64), "Who is told of events");
    return keys;
}

const Keys<Feed>& feed_keys() {
    static const Keys<Feed> keys =
        Keys<Feed>()
            .key("kind", &Feed::kind,
                 choice<std::string>({{"electricitymaps", "electricitymaps"},
                                      {"watttime", "watttime"},
                                      {"watttime-average", "watttime-average"},
                                      {"gb-carbon-intensity", "gb-carbon-intensity"},
                                      {"energy-charts", "energy-charts"}}),
                 "Which service it is; watttime tells marginal intensities, all others average ones", true)
            .key("token_file", &Feed::token_file, text(), "Holds the token, or USER:PASSWORD for WattTime, on one line; others may not read it")
            .key("base_url", &Feed::base_url, text(), "Another address than the service's own, https://HOST/PATH")
            .key("zones", &Feed::zones, list(text(64)), "Zones that it is asked for; if left out, all that jobs name")
            .key("calls_per_minute", &Feed::calls_per_minute, integer<unsigned>(0, 100'000), "It is not asked more often; 0 for no limit of ours")
            .key("calls_per_month", &Feed::calls_per_month, integer<unsigned>(0, 1'000'000'000), "It is not asked more often; 0 for no limit of ours");
    return keys;
}

const Keys<ZoneConfig>& zone_keys() {
    static const Keys<ZoneConfig> keys = Keys<ZoneConfig>()
                                             .key("feeds", &ZoneConfig::feeds, list(text(64)), "Names of feeds, the best first; all that have the zone if left out")
                                             .key("region", &ZoneConfig::region, text(64), "WattTime's region of it, as CAISO_NORTH")
                                             .key("tariff_file", &ZoneConfig::tariff_file, text(), "What power costs there: a power file with one tariff");
    return keys;
}

const Keys<PricesConfig>& price_keys() {
    static const Keys<PricesConfig> keys =
        Keys<PricesConfig>().key("files", &PricesConfig::files, list(text()), "Price files, CSV; what they hold goes over what is built in");
    return keys;
}

// What the file holds before jobs have met their policies.
struct Raw {
    Config config;
    const Setting* jobs = nullptr;
};

const Keys<Raw>& top_keys() {
    static const Keys<Raw> keys = [] {
        Keys<Config> made = Keys<Config>()
                                .key("policies", &Config::policies, named(policy_keys().kind()), "Rules by name, for jobs")
                                .key("limits", &Config::limits, limit_keys().kind(), "Of all jobs together")
                                .key("feeds", &Config::feeds, named(feed_keys().kind()), "Services that say how clean grids are and will be")
                                .key("zones", &Config::zones, named(zone_keys().kind()), "Grids, where more is to be said of them")
                                .key("prices", &Config::prices, price_keys().kind(), "What things cost")
                                .key("api", &Config::api, api_keys().kind(), "The HTTP API")
                                .key("state_folder", &Config::state_folder, text(), "Where the state is kept")
                                .key("carbon_table", &Config::carbon_table, text(), "CSV of intensities: time, then a column a zone, in g/kWh");
        Kind<const Setting*> jobs{named(job_keys().kind()).schema, [](const Setting& setting, const Setting*& into) -> Result<void> {
                                      if (setting.kind != Setting::Kind::table) return wrong(setting, "is a table of tables, as [jobs.NAME]");
                                      into = &setting;
                                      return {};
                                  }};
        return Keys<Raw>().all(&Raw::config, made).key("jobs", &Raw::jobs, jobs, "What is synced, by name");
    }();
    return keys;
}

// A job with its policy's keys below its own. The policies of `config` are as they were written.
Result<Job> read_job(const Setting& setting, const std::string& name, const Config& config) {
    TRY(check_name(setting, name));
    Job job;
    if (const Setting* policy = setting.find("policy"); policy && policy->kind == Setting::Kind::text) {
        auto found = config.policies.find(policy->text);
        if (found == config.policies.end()) {
            std::vector<std::string_view> known;
            for (const auto& entry : config.policies) known.push_back(entry.first);
            return policy->wrong(fmt::format("{}: there is no policy \"{}\"{}", policy->path, policy->text.substr(0, 64),
                                             known.empty() ? std::string() : fmt::format("; did you mean {}?", nearest(policy->text, known))));
        }
        job.rules = found->second;
    }
    TRY(job_keys().read(setting, job));
    job.name = name;
    TRY(look_up(setting, job.rules));
    return job;
}

// The jobs that a circle of `after` goes through, beginning and ending with the same one; empty if there is none. All that `after` names is there.
std::vector<std::string> circle(const Config& config) {
    std::map<std::string, size_t> waits_for;
    std::map<std::string, std::vector<std::string>> waiting;
    std::vector<std::string> free;
    for (const auto& [name, job] : config.jobs) {
        waits_for[name] = job.rules.after.size();
        if (job.rules.after.empty()) free.push_back(name);
        for (const After& after : job.rules.after) waiting[after.job].push_back(name);
    }
    while (!free.empty()) {
        std::string name = std::move(free.back());
        free.pop_back();
        waits_for.erase(name);
        for (const std::string& other : waiting[name])
            if (--waits_for[other] == 0) free.push_back(other);
    }
    if (waits_for.empty()) return {};
    // Each that is left waits for one that is left: whoever is followed comes round.
    std::vector<std::string> path{waits_for.begin()->first};
    for (;;) {
        const auto& after = config.jobs.at(path.back()).rules.after;
        auto next = std::ranges::find_if(after, [&](const After& one) { return waits_for.contains(one.job); });
        auto before = std::ranges::find(path, next->job);
        bool round = before != path.end();
        if (round) path.erase(path.begin(), before);
        path.push_back(next->job);
        if (round) return path;
    }
}

// All that it comes after is there.
Result<void> check_dependencies(const Config& config, const Job& job) {
    for (const After& after : job.rules.after)
        if (!config.jobs.contains(after.job)) {
            std::vector<std::string_view> known;
            for (const auto& entry : config.jobs) known.push_back(entry.first);
            return fail(EINVAL, "there is no job \"{}\" to come after; did you mean {}?", after.job, nearest(after.job, known));
        }
    return {};
}

std::string circle_text(const std::vector<std::string>& path) { return fmt::format("jobs come after one another in a circle: {}", fmt::join(path, " after ")); }

// Feeds and zones by today's ids, whatever they are called in the file.
Result<void> look_up_zones(const Setting& top, Config& config) {
    for (auto& entry : config.feeds)
        for (std::string& zone : entry.second.zones) {
            auto found = carbon::find_zone(zone);
            if (!found) return top.find("feeds")->find(entry.first)->wrong(fmt::format("feeds.{}.zones: {}", entry.first, found.error().message));
            zone = found->id;
        }
    std::map<std::string, ZoneConfig> zones;
    for (auto& entry : config.zones) {
        const Setting& setting = *top.find("zones")->find(entry.first);
        auto found = carbon::find_zone(entry.first);
        if (!found) return setting.wrong(fmt::format("zones.{}: {}", entry.first, found.error().message));
        for (const std::string& feed : entry.second.feeds)
            if (!config.feeds.contains(feed)) return setting.wrong(fmt::format("zones.{}.feeds: there is no feed \"{}\" ([feeds.{}])", entry.first, feed, feed));
        if (!zones.emplace(found->id, std::move(entry.second)).second) return setting.wrong(fmt::format("zones.{}: zone {} is there twice", entry.first, found->id));
    }
    config.zones = std::move(zones);
    return {};
}

Result<std::string> read_text(const std::string& path) {
    FILE* file = std::fopen(path.c_str(), "re");
    if (!file) {
        int code = errno;
        return fail(code, "{}: open it: {}", path, errno_text(code));
    }
    std::string text;
    std::vector<char> buffer(65536);
    size_t got;
    while (text.size() <= config_bytes_max && (got = std::fread(buffer.data(), 1, buffer.size(), file)) > 0) text.append(buffer.data(), got);
    int code = std::ferror(file) ? errno : 0;
    std::fclose(file);
    if (code != 0) return fail(code, "{}: read it: {}", path, errno_text(code));
    if (text.size() > config_bytes_max) return fail(EFBIG, "{}: it has more than {} bytes", path, config_bytes_max);
    return text;
}

}  // namespace

Result<Config> parse_config(std::string_view toml, const std::string& name) {
    Setting top = TRY(parse_toml(toml, name));
    Raw raw;
    TRY(top_keys().read(top, raw));
    Config& config = raw.config;
    if (raw.jobs)
        for (const auto& entry : raw.jobs->table) {
            config.jobs.emplace(entry.first, TRY(read_job(entry.second, entry.first, config)));
            for (std::string& said : warnings_of(entry.second, config.jobs.at(entry.first).rules)) config.warnings.push_back(std::move(said));
        }
    auto wrong_after = [&](const std::string& job, const std::string& message) { return raw.jobs->find(job)->wrong(fmt::format("jobs.{}.after: {}", job, message)); };
    for (const auto& entry : config.jobs)
        if (auto good = check_dependencies(config, entry.second); !good) return wrong_after(entry.first, good.error().message);
    if (auto path = circle(config); !path.empty()) return wrong_after(path.front(), circle_text(path));
    // Policies that no job has are to be right, too.
    if (const Setting* policies = top.find("policies"))
        for (const auto& entry : policies->table) {
            Policy looked_up = config.policies.at(entry.first);
            TRY(look_up(entry.second, looked_up));
        }
    TRY(look_up_zones(top, config));
    if (!config.api.listen.empty() && config.api.token_file.empty()) return top.find("api")->wrong("api.listen: TCP needs api.token_file");
    return std::move(config);
}

Result<Config> read_config(const std::string& path) {
    return parse_config(TRY(read_text(path)), path);
}

Result<Job> parse_job_json(std::string_view json, const std::string& name, const Config& config) {
    Setting setting = TRY(parse_json_setting(json, "job " + name.substr(0, 64)));
    return read_job(setting, name, config);
}

Result<void> add_job(Config& config, Job job) {
    std::string name = job.name;
    if (!config.jobs.emplace(name, std::move(job)).second) return fail(EEXIST, "job {}: there is one of that name", name);
    auto good = check_dependencies(config, config.jobs.at(name));
    auto path = good ? circle(config) : std::vector<std::string>();
    if (good && path.empty()) return {};
    std::string message = good ? circle_text(path) : good.error().message;
    config.jobs.erase(name);
    return fail(EINVAL, "job {}: after: {}", name, message);
}

std::string config_schema() {
    Schema schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", "hyperd's configuration"}};
    schema.update(top_keys().schema());
    return schema.dump(2);
}

std::string job_schema() {
    return job_keys().schema().dump(2);
}

}  // namespace hyper::scheduler
