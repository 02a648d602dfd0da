// SPDX-License-Identifier: Apache-2.0
// hypernbd: every disk, in every format, as an NBD export.
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "blockengine/base/log.h"
#include "catalog/catalog.h"
#include "convert/remote/remote.h"
#include "nbdserver/catalog_directory.h"
#include "nbdserver/locks/listen.h"
#include "nbdserver/locks/notify.h"
#include "nbdserver/locks/sandbox.h"
#include "nbdserver/server.h"
#include "nbdserver/takeover.h"
#include "nbdserver/watch/control.h"
#include "providers/connection.h"

namespace {

using hyper::Result;
using hyper::Rules;
using hyper::TlsCredentials;

constexpr int exit_ok = 0, exit_error = 1, exit_usage = 2;

struct Options {
    std::vector<std::string> specs;
    hyper::CatalogOptions catalog;
    std::vector<std::string> sockets, networks;
    std::string tls_certificates, tls_psk, rules, control, trace, takeover;
    bool writing = false;
    std::string commit = "by-hand";
    unsigned threads = std::max(1u, std::thread::hardware_concurrency());
};

int fail(const std::string& message) {
    std::fprintf(stderr, "hypernbd: %s\n", message.c_str());
    return exit_error;
}

// What SIGHUP reads again.
struct Locks {
    std::shared_ptr<const Rules> rules;
    std::shared_ptr<const TlsCredentials> credentials;
};

Result<Locks> load_locks(const Options& options) {
    Locks locks;
    locks.rules = options.rules.empty() ? Rules::for_private_socket() : TRY(Rules::load(options.rules));
    if (!options.tls_certificates.empty())
        locks.credentials = TRY(TlsCredentials::from_certificates(options.tls_certificates));
    else if (!options.tls_psk.empty())
        locks.credentials = TRY(TlsCredentials::from_psk_file(options.tls_psk));
    return locks;
}

// Those of `takeover`, if there is one, where they are what the options ask for.
Result<std::vector<hyper::Listener>> open_listeners(const Options& options, hyper::nbd::Takeover* takeover) {
    auto inherited = TRY(hyper::take_inherited());
    std::vector<hyper::Listener> listeners = std::move(inherited.listeners);
    auto add = [&](std::vector<hyper::Listener> more) {
        for (hyper::Listener& listener : more) listeners.push_back(std::move(listener));
        return !more.empty();
    };
    if (takeover != nullptr && listeners.empty()) add(takeover->take_inherited());
    for (const std::string& path : options.sockets)
        if (takeover == nullptr || !add(takeover->take("", path))) listeners.push_back(TRY(hyper::listen_unix(path)));
    for (const std::string& where : options.networks)
        if (takeover == nullptr || !add(takeover->take(where, ""))) add(TRY(hyper::listen_network(where)));
    if (listeners.empty()) return hyper::fail(EINVAL, "nowhere to listen (try --socket PATH, or --listen HOST:PORT with TLS)");
    bool remote = std::ranges::any_of(listeners, &hyper::Listener::remote);
    bool tls = !options.tls_certificates.empty() || !options.tls_psk.empty();
    if (remote && !tls)
        return hyper::fail(EINVAL, "a network socket needs TLS (try --tls-certificates DIR or --tls-psk FILE)");
    if (remote && options.rules.empty())
        return hyper::fail(EINVAL, "a network socket needs rules that say who may see what (try --rules FILE)");
    return listeners;
}

// From the moment that the old server accepts nobody any more.
void own_paths(const Options& options, std::vector<hyper::Listener>& listeners, hyper::Listener& offer) {
    auto own = [](hyper::Listener& listener, const std::string& path) {
        if (auto owned = listener.own_path(path); !owned) hyper::log_warning("{}", owned.error().message);
    };
    own(offer, options.takeover);
    for (const std::string& path : options.sockets)
        for (hyper::Listener& listener : listeners)
            if (listener.path().empty() && listener.text() == "unix " + path) own(listener, path);
}

void say(const Result<void>& told) {
    if (!told) hyper::log_warning("service manager: {}", told.error().message);
}

// What the control socket lists: the disks. Their views show when somebody has opened them; to tell their sizes each would
// have to be laid out.
std::vector<hyper::watch::Offered> offered(hyper::Catalog& catalog, bool writing) {
    std::vector<hyper::watch::Offered> list;
    for (const hyper::Disk& disk : catalog.disks()) {
        if (!disk.problem.empty()) continue;
        bool writable = writing && (disk.format == hyper::Format::raw || disk.format == hyper::Format::volume) && disk.snapshot.empty();
        list.push_back({disk.name, disk.size_bytes, catalog.describe(disk.name), !writable});
    }
    return list;
}

// The folder of a file, since files are replaced under their names; a folder or a device itself.
std::string place_of(const std::string& path) {
    namespace fs = std::filesystem;
    std::error_code error;
    fs::path real = fs::canonical(path, error);
    if (error) real = fs::absolute(path);
    bool itself = fs::is_directory(real, error) || fs::is_block_file(real, error);
    return itself ? real : real.parent_path();
}

hyper::SandboxPaths needed_paths(const Options& options) {
    hyper::SandboxPaths paths;
    auto& images = options.writing ? paths.write : paths.read;
    for (const std::string& spec : options.specs) {
        if (hyper::is_remote(spec)) continue;
        images.push_back(place_of(spec));
        // A link may lead to another file later.
        paths.read.push_back(place_of(std::filesystem::absolute(spec).parent_path()));
    }
    for (const std::string& dir : options.catalog.open.allowed_dirs) paths.read.push_back(place_of(dir));
    for (const std::string& path : {options.rules, options.tls_certificates, options.tls_psk})
        if (!path.empty()) paths.read.push_back(place_of(path));
    for (const std::string& path : options.sockets) paths.remove.push_back(place_of(path));
    if (!options.control.empty()) paths.write.push_back(place_of(options.control));
    if (!options.takeover.empty()) paths.remove.push_back(place_of(options.takeover));
    if (!options.trace.empty()) paths.write.push_back(place_of(options.trace));
    return paths;
}

int serve(const Options& options) {
    sigset_t signals;
    sigemptyset(&signals);
    for (int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, number);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    ::signal(SIGPIPE, SIG_IGN);  // a client that left is told by the call's result
    // Every client is a descriptor: as many as may be.
    if (rlimit files; ::getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &files);
    }

    auto locks = load_locks(options);
    if (!locks) return fail(locks.error().message);
    hyper::Engine engine;
    auto catalog = hyper::Catalog::open(engine, options.specs, options.catalog);
    if (!catalog) return fail(catalog.error().message);
    std::unique_ptr<hyper::nbd::Takeover> takeover;
    std::optional<hyper::Listener> offer_listener;
    if (!options.takeover.empty()) {
        auto asked = hyper::nbd::Takeover::ask(options.takeover);
        if (!asked) return fail(asked.error().message);
        takeover = std::move(*asked);
        auto listener = takeover ? takeover->take_offer() : hyper::listen_unix(options.takeover);
        if (!listener) return fail(listener.error().message);
        offer_listener.emplace(std::move(*listener));
    }
    auto listeners = open_listeners(options, takeover.get());
    if (!listeners) return fail(listeners.error().message);
    // The control socket's folder, which it could not make any more.
    if (!options.control.empty())
        ::mkdir(std::filesystem::absolute(options.control).parent_path().c_str(), S_IRWXU);
    // Providers reach out to the network, and other builds of theirs may be loaded at any time.
    const std::vector<std::string> lazy_volumes = options.writing ? (*catalog)->lazy_volumes() : std::vector<std::string>();
    bool confined_here = std::ranges::none_of(options.specs, hyper::is_remote) && lazy_volumes.empty();
    if (!confined_here) hyper::log_info("disks of providers are served, so this process is not confined");
    if (confined_here)
        if (auto confined = hyper::confine_files(needed_paths(options)); !confined) return fail(confined.error().message);
    // Not sooner: the index of a volume starts threads, and only what is started after that is confined.
    for (const hyper::Disk& disk : (*catalog)->disks())
        if (!disk.problem.empty() && std::ranges::find(lazy_volumes, disk.name) == lazy_volumes.end()) hyper::log_warning("{}: not served: {}", disk.name, disk.problem);

    std::unique_ptr<hyper::watch::Trace> trace;
    if (!options.trace.empty()) {
        auto made = hyper::watch::Trace::create(options.trace);
        if (!made) return fail(made.error().message);
        trace = std::move(*made);
    }
    hyper::nbd::Watchers watchers;
    watchers.trace = trace.get();
    auto server = hyper::nbd::Server::make(engine, watchers, options.threads);
    if (!server) return fail(server.error().message);
    auto directory = std::make_shared<hyper::nbd::CatalogDirectory>(**catalog, options.writing, options.commit == "on-close");
    std::unique_ptr<hyper::watch::Control> control;
    auto list = [&] { return offered(**catalog, options.writing); };
    auto commit = [&](const std::string& folder, const hyper::StoreOptions& how) { return directory->writable().commit(folder, how); };
    hyper::UniqueFd taken_control;
    if (takeover && !options.control.empty()) taken_control = takeover->take_control(options.control);
    if (!options.control.empty() && !taken_control) {
        auto started = hyper::watch::Control::start(options.control, watchers.registry, list, commit);
        if (!started) return fail(started.error().message);
        control = std::move(*started);
    }
    // Local clients are known by their user, all others by TLS.
    auto local = std::make_shared<hyper::nbd::Door>(directory, locks->rules, nullptr);
    auto remote = std::make_shared<hyper::nbd::Door>(directory, locks->rules, locks->credentials);
    if (confined_here)
        if (auto confined = hyper::confine_calls(); !confined) return fail(confined.error().message);
    if (takeover) {
        if (auto begun = takeover->begin(*directory); !begun) return fail(begun.error().message);
        own_paths(options, *listeners, *offer_listener);
    }
    for (hyper::Listener& listener : *listeners) {
        auto& door = listener.remote() ? remote : local;
        (*server)->listen(std::move(listener), door);
    }
    if (takeover) {
        auto count = takeover->receive(**server, local, *directory);
        if (count)
            hyper::log_info("took over {} clients", *count);
        else
            hyper::log_warning("{}; what had not come over by then did not", count.error().message);
        if (taken_control) {
            auto adopted = hyper::watch::Control::adopt(taken_control.release(), options.control, watchers.registry, list, commit);
            if (!adopted) return fail(adopted.error().message);
            control = std::move(*adopted);
        }
        takeover.reset();
    }
    std::unique_ptr<hyper::nbd::TakeoverOffer> offer;
    if (offer_listener) {
        auto ended = [thread = ::pthread_self()] { ::pthread_kill(thread, SIGTERM); };
        auto started = hyper::nbd::TakeoverOffer::start(std::move(*offer_listener), **server, *directory, control.get(), options.control, ended);
        if (!started) return fail(started.error().message);
        offer = std::move(*started);
    }
    say(hyper::notify_ready("serving"));

    for (;;) {
        int number = 0;
        ::sigwait(&signals, &number);
        if (number != SIGHUP) break;
        say(hyper::notify_reloading());
        auto fresh = load_locks(options);
        if (fresh) {
            local->change(fresh->rules, nullptr);
            remote->change(fresh->rules, fresh->credentials);
            hyper::log_info("rules and credentials were read again");
        } else {
            hyper::log_error("rules and credentials stay as they were: {}", fresh.error().message);
        }
        say(hyper::notify_ready("serving"));
    }
    say(hyper::notify_stopping());
    offer.reset();
    (*server)->stop();
    return exit_ok;
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    std::vector<std::string> allowed, settings;
    std::string format;
    CLI::App app("Serves disk images as NBD exports, in every format, without a copy.");
    auto many = [&](const char* name, std::vector<std::string>& into, const char* text, const char* type) {
        app.add_option(name, into, text)->type_name(type)->allow_extra_args(false);
    };
    app.set_version_flag("-V,--version", "hypernbd " HYPER_VERSION);
    many("--socket", options.sockets, "Listen on this Unix socket", "PATH");
    many("--listen", options.networks, "Listen on HOST:PORT or vsock:PORT, with TLS", "WHERE");
    auto* certificates = app.add_option("--tls-certificates", options.tls_certificates,
                                        "ca-cert.pem, server-cert.pem and server-key.pem are in this folder")
                             ->type_name("DIR");
    app.add_option("--tls-psk", options.tls_psk, "Keys of clients, IDENTITY:HEX a line")
        ->type_name("FILE")
        ->excludes(certificates);
    app.add_option("--rules", options.rules, "Who may read and write what (TOML)")->type_name("FILE");
    app.add_flag("--rw", options.writing, "Raw images and volumes can be written");
    app.add_option("--commit", options.commit, "When what was written to a volume becomes a generation: by-hand or on-close")
        ->check(CLI::IsMember({"by-hand", "on-close"}));
    app.add_option("--control", options.control, "Answer hyperctl export on this Unix socket")->type_name("PATH");
    app.add_option("--trace", options.trace, "Write every request to this file")->type_name("FILE");
    app.add_option("--takeover", options.takeover, "Take over from the server that offers itself on this socket, and offer too")
        ->type_name("PATH");
    app.add_option("--threads", options.threads, "Event loops (default: one a processor)")->check(CLI::Range(1, 64));
    app.add_option("--format", format, "Format of all images: raw, qcow2, vmdk, vhd or vhdx (default: by file name)");
    app.add_option("--cluster-size", options.catalog.cluster_bytes, "Cluster size of qcow2 exports (default: 64k)")
        ->transform(CLI::AsSizeValue(false));
    many("--provider", settings, "An option of a provider: s3.endpoint=https://...", "NAME.KEY=VALUE");
    many("--allow", allowed, "Images may refer to files in this folder too", "DIR");
    app.add_option("specs", options.specs, "Image files, folders of images, volumes, or URIs of providers")->type_name("SPEC...")->required();
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? exit_ok : exit_usage;
    }
    if (!format.empty()) {
        options.catalog.open.format = hyper::parse_format(format);
        if (!options.catalog.open.format) {
            fail("--format " + format + ": unknown (try raw, qcow2, vmdk, vhd or vhdx)");
            return exit_usage;
        }
    }
    for (const std::string& setting : settings) {
        if (auto set = hyper::Registry::instance().set(setting); !set) {
            fail("--provider " + set.error().message);
            return exit_usage;
        }
    }
    options.catalog.open.allowed_dirs = allowed;
    int code = serve(options);
    hyper::end_providers();
    return code;
}
