// SPDX-License-Identifier: Apache-2.0
// hyperd: decides when each sync runs, runs it, and tells about it over HTTP.
#include <grp.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "blockengine/base/log.h"
#include "blockengine/engine.h"
#include "nbdserver/locks/config_file.h"
#include "nbdserver/locks/notify.h"
#include "providers/connection.h"
#include "scheduler/hyperd/api.h"
#include "scheduler/hyperd/paths.h"
#include "scheduler/hyperd/server.h"
#include "scheduler/hyperd/webhooks.h"

namespace {

using hyper::Result;
using namespace hyper::hyperd;
using hyper::scheduler::ApiConfig;
using hyper::scheduler::Config;

constexpr int exit_ok = 0, exit_error = 1, exit_usage = 2;

struct Options {
    std::string config, root, hyperctl;
    bool check = false, schema = false;
};

int fail(const std::string& message) {
    std::fprintf(stderr, "hyperd: %s\n", message.c_str());
    return exit_error;
}

void say(const Result<void>& told) {
    if (!told) hyper::log_warning("service manager: {}", told.error().message);
}

Result<GateRules> gate_rules(const ApiConfig& api) {
    GateRules rules;
    if (!api.token_file.empty()) rules.tokens = TRY(Tokens::load(api.token_file));
    if (!api.listen.empty()) {
        std::string host = api.listen.substr(0, api.listen.rfind(':'));
        std::ranges::transform(host, host.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        rules.hosts.push_back(host);
    }
    if (!api.group.empty()) {
        const group* found = ::getgrnam(api.group.c_str());
        if (found == nullptr) return hyper::fail(EINVAL, "[api] group = \"{}\": there is no such group", api.group);
        rules.group = found->gr_gid;
    }
    return rules;
}

bool is_loopback(const std::string& text) { return text.starts_with("127.") || text.starts_with("[::1]:"); }

// Credentials for TCP; nullptr where none are configured.
Result<std::shared_ptr<const hyper::TlsCredentials>> credentials_of(const ApiConfig& api) {
    if (api.tls_certificate.empty() != api.tls_key.empty())
        return hyper::fail(EINVAL, "[api] has one of tls_certificate and tls_key; TLS needs both");
    if (api.tls_certificate.empty()) return nullptr;
    return hyper::TlsCredentials::for_known_server(api.tls_certificate, api.tls_key);
}

Result<std::vector<Door>> open_doors(const ApiConfig& api, const GateRules& rules, const std::string& root) {
    std::vector<Door> doors;
    std::string socket = api.socket.empty() ? socket_below(root) : api.socket;
    ::mkdir(std::filesystem::absolute(socket).parent_path().c_str(), 0700);
    auto local = TRY(hyper::listen_unix(socket));
    // Members of the group can connect, and the gate looks at who they are.
    if (rules.group && (::chown(socket.c_str(), static_cast<uid_t>(-1), *rules.group) != 0 || ::chmod(socket.c_str(), 0660) != 0))
        return hyper::fail(errno, "{}: let the group {} in: {}", socket, api.group, hyper::errno_text(errno));
    std::string folder = std::filesystem::absolute(socket).parent_path();
    // Where the folder is ours alone; one that the configuration names is whoever's it is.
    if (rules.group && api.socket.empty() && (::chown(folder.c_str(), static_cast<uid_t>(-1), *rules.group) != 0 || ::chmod(folder.c_str(), 0710) != 0))
        return hyper::fail(errno, "{}: let the group {} in: {}", folder, api.group, hyper::errno_text(errno));
    doors.push_back({std::move(local), nullptr});
    if (api.listen.empty()) return doors;
    if (rules.tokens.empty()) return hyper::fail(EINVAL, "[api] listen = \"{}\" needs token_file, with at least one token in it", api.listen);
    auto credentials = TRY(credentials_of(api));
    for (hyper::Listener& listener : TRY(hyper::listen_network(api.listen))) {
        if (!credentials && !is_loopback(listener.text()))
            return hyper::fail(EINVAL, "[api] listen = \"{}\" is not loopback, so it needs TLS (tls_certificate and tls_key)", api.listen);
        hyper::log_info("listening at {}", listener.text());
        doors.push_back({std::move(listener), credentials});
    }
    return doors;
}

Result<void> check_webhooks(const Config& config) {
    for (const auto& hook : config.api.webhooks) {
        if (!hook.url.starts_with("https://") && !hook.url.starts_with("http://"))
            return hyper::fail(EINVAL, "[api] webhooks: url = \"{}\" is neither http:// nor https://", hook.url);
        TRY(hyper::read_secret_file(hook.secret_file));
    }
    return {};
}

// All that can be looked at without doing anything.
Result<void> check(const Options& options) {
    Config config = TRY(hyper::scheduler::read_config(options.config));
    for (const std::string& warning : config.warnings) std::fprintf(stderr, "hyperd: warning: %s\n", warning.c_str());
    GateRules rules = TRY(gate_rules(config.api));
    if (!config.api.listen.empty() && rules.tokens.empty()) return hyper::fail(EINVAL, "[api] listen needs token_file, with at least one token in it");
    TRY(credentials_of(config.api));
    TRY(check_webhooks(config));
    TRY(check_sources(config, options.config));
    TRY(hyper::scheduler::Costs::load(config));
    std::printf("%s: good: %zu jobs, %zu policies\n", options.config.c_str(), config.jobs.size(), config.policies.size());
    return {};
}

// That of the installation: beside this program.
Result<std::string> find_hyperctl(const Options& options) {
    std::error_code error;
    std::filesystem::path path = options.hyperctl;
    if (path.empty()) path = std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "hyperctl";
    if (::access(path.c_str(), X_OK) != 0) return hyper::fail(errno, "{}: the program that syncs: {} (--hyperctl says where it is)", path.string(), hyper::errno_text(errno));
    return std::filesystem::absolute(path).string();
}

// All that may be wrong is looked at before anything changes.
Result<void> reload(const Options& options, Daemon& daemon, Gate& gate) {
    Config config = TRY(hyper::scheduler::read_config(options.config));
    TRY(check_webhooks(config));
    GateRules rules = TRY(gate_rules(config.api));
    TRY(daemon.reload());
    gate.change(std::move(rules));
    return {};
}

Result<int> serve(const Options& options) {
    DaemonOptions what{options.config, options.root, TRY(find_hyperctl(options))};
    auto daemon = TRY(Daemon::open(std::move(what)));
    ApiConfig config = daemon->config().api;
    TRY(check_webhooks(daemon->config()));
    GateRules rules = TRY(gate_rules(config));
    auto doors = TRY(open_doors(config, rules, options.root));
    auto webhooks = TRY(Webhooks::start(*daemon));
    hyper::Engine engine;
    Api api{*daemon, engine, HYPER_VERSION};
    Router router(api_routes(api));
    Gate gate(std::move(rules));
    auto started = Server::start(std::move(doors), gate, router);
    std::thread loop([&] { daemon->loop(); });
    if (started) say(hyper::notify_ready("scheduling"));

    sigset_t signals;
    sigemptyset(&signals);
    for (int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, number);
    while (started) {
        int number = 0;
        ::sigwait(&signals, &number);
        if (number != SIGHUP) break;
        say(hyper::notify_reloading());
        if (auto done = reload(options, *daemon, gate); !done) hyper::log_error("the configuration stays as it was: {}", done.error().message);
        say(hyper::notify_ready("scheduling"));
    }
    say(hyper::notify_stopping());
    daemon->stop();
    loop.join();
    webhooks.reset();
    if (!started) return tl::unexpected(started.error());
    started->reset();
    return exit_ok;
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app("Decides when each sync of a disk runs, by carbon, cost and deadlines, and runs it.");
    app.set_version_flag("-V,--version", "hyperd " HYPER_VERSION);
    app.add_option("--config", options.config, "Jobs, policies and what hyperd itself needs (TOML)")->type_name("FILE");
    app.add_option("--root", options.root, "Keep volumes and state below this folder, and listen there (else $HYPER_ROOT)")->type_name("DIR");
    app.add_option("--hyperctl", options.hyperctl, "The program that syncs (default: beside this one)")->type_name("PATH");
    app.add_flag("--check-config", options.check, "Say whether the configuration is good, and end");
    app.add_flag("--schema", options.schema, "Print the JSON Schema of the configuration, and end");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? exit_ok : exit_usage;
    }
    if (options.schema) {
        std::printf("%s\n", hyper::scheduler::config_schema().c_str());
        return exit_ok;
    }
    if (options.config.empty()) {
        fail("a configuration is needed (--config FILE)");
        return exit_usage;
    }
    options.root = root_or_environment(options.root);
    if (options.check) {
        auto good = check(options);
        return good ? exit_ok : fail(good.error().message);
    }
    // For every thread, so that only sigwait() sees them.
    sigset_t signals;
    sigemptyset(&signals);
    for (int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, number);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    auto code = serve(options);
    hyper::end_providers();
    return code ? *code : fail(code.error().message);
}
