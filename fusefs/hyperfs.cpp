// SPDX-License-Identifier: Apache-2.0
// hyperfs: every disk, in every format, as a file on a mount.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "blockengine/base/log.h"
#include "catalog/catalog.h"
#include "catalog/writable_disks.h"
#include "convert/remote/remote.h"
#include "fusefs/mount.h"
#include "providers/connection.h"

namespace {

constexpr int exit_ok = 0, exit_error = 1, exit_usage = 2;

struct Options {
    std::vector<std::string> specs;
    hyper::CatalogOptions catalog;
    hyper::MountOptions mount;
    bool foreground = false, writing = false;
    std::string commit = "by-hand";
};

int fail(const std::string& message) {
    std::fprintf(stderr, "hyperfs: %s\n", message.c_str());
    return exit_error;
}

// A daemon leaves the current directory, so paths are made absolute while they still mean
// something.
std::string absolute(const std::string& path) {
    return std::filesystem::absolute(path).string();
}

// Serves until unmounted. Runs in the process that stays: rings do not survive a fork.
int serve(const Options& options, const std::function<void()>& ready) {
    hyper::Engine engine;
    auto catalog = hyper::Catalog::open(engine, options.specs, options.catalog);
    if (!catalog) return fail(catalog.error().message);
    for (const hyper::Disk& disk : (*catalog)->disks())
        if (!disk.problem.empty())
            hyper::log_warning("{}: not served: {}", disk.name, disk.problem);
    if (!options.foreground) hyper::log_to_syslog("hyperfs");
    std::optional<hyper::WritableDisks> writable;
    if (options.writing) writable.emplace(**catalog, options.commit == "on-close");
    auto served = hyper::serve_mount(**catalog, writable ? &*writable : nullptr, options.mount, ready);
    return served ? exit_ok : fail(served.error().message);
}

void detach() {
    int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
    ::close(null);
}

// The caller gets its prompt back when the mount answers, or the exit code when that fails.
int serve_in_background(const Options& options) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return fail("pipe: " + hyper::errno_text(errno));
    pid_t child = ::fork();
    if (child < 0) return fail("fork: " + hyper::errno_text(errno));
    if (child > 0) {
        ::close(ends[1]);
        char byte;
        return ::read(ends[0], &byte, 1) == 1 ? exit_ok : exit_error;
    }
    ::close(ends[0]);
    ::setsid();
    if (::chdir("/") != 0) return fail("/: " + hyper::errno_text(errno));
    return serve(options, [&] {
        detach();
        [[maybe_unused]] ssize_t written = ::write(ends[1], "", 1);
        ::close(ends[1]);
    });
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    std::vector<std::string> places, allowed, mount_options, settings;
    std::string format;
    CLI::App app("Offers disk images as files on a mount, in every format, without a copy.");
    app.set_version_flag("-V,--version", "hyperfs " HYPER_VERSION);
    app.add_flag("-f,--foreground", options.foreground,
                 "Stay in the foreground, and log to standard error");
    app.add_flag("--rw", options.writing, "Raw images and volumes can be written");
    app.add_option("--commit", options.commit, "When what was written to a volume becomes a generation: by-hand or on-close")
        ->check(CLI::IsMember({"by-hand", "on-close"}));
    app.add_option("--format", format,
                   "Format of all images: raw, qcow2, vmdk, vhd or vhdx (default: by file name)");
    app.add_option("--cluster-size", options.catalog.cluster_bytes,
                   "Cluster size of qcow2 files (default: 64k)")
        ->transform(CLI::AsSizeValue(false));
    app.add_option("--allow", allowed, "Images may refer to files in this folder too")
        ->type_name("DIR")
        ->allow_extra_args(false);
    app.add_option("--provider", settings, "An option of a provider: s3.endpoint=https://...")
        ->type_name("NAME.KEY=VALUE")
        ->allow_extra_args(false);
    app.add_option("-o", mount_options, "Mount option: allow_other")->allow_extra_args(false);
    app.add_option("places", places, "Image files, folders of images, volumes, or URIs of providers, then the mount point")
        ->type_name("SPEC... MOUNTPOINT")
        ->expected(2, 1 << 16)
        ->required();
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
    for (const std::string& option : mount_options) {
        if (option != "allow_other") {
            fail("-o " + option + ": not known here (try allow_other)");
            return exit_usage;
        }
        options.mount.allow_other = true;
    }
    for (const std::string& dir : allowed)
        options.catalog.open.allowed_dirs.push_back(absolute(dir));
    options.mount.mount_point = absolute(places.back());
    places.pop_back();
    for (const std::string& spec : places) options.specs.push_back(hyper::is_remote(spec) ? spec : absolute(spec));
    int code = options.foreground ? serve(options, [] {}) : serve_in_background(options);
    hyper::end_providers();
    return code;
}
