// SPDX-License-Identifier: Apache-2.0
// hypernbd: every disk, in every format, as an NBD export.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <string>
#include <vector>

#include "blockengine/base/log.h"
#include "catalog/catalog.h"
#include "nbdserver/catalog_directory.h"
#include "nbdserver/server.h"

namespace {

constexpr int exit_ok = 0, exit_error = 1, exit_usage = 2;

struct Options {
    std::vector<std::string> specs;
    hyper::CatalogOptions catalog;
    std::string socket;
    bool writing = false;
    unsigned threads = std::max(1u, std::thread::hardware_concurrency());
};

int fail(const std::string& message) {
    std::fprintf(stderr, "hypernbd: %s\n", message.c_str());
    return exit_error;
}

hyper::Result<int> listen_unix(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return hyper::fail(ENAMETOOLONG, "{}: a socket's path has at most {} bytes", path, sizeof address.sun_path - 1);
    path.copy(address.sun_path, path.size());
    int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ::unlink(path.c_str());
    mode_t mask = ::umask(0177);
    int bound = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
    ::umask(mask);
    if (bound != 0 || ::listen(fd, SOMAXCONN) != 0)
        return hyper::fail(errno, "{}: {}", path, hyper::errno_text(errno));
    return fd;
}

int serve(const Options& options) {
    sigset_t signals;
    sigemptyset(&signals);
    for (int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, number);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);

    hyper::Engine engine;
    auto catalog = hyper::Catalog::open(engine, options.specs, options.catalog);
    if (!catalog) return fail(catalog.error().message);
    auto server = hyper::nbd::Server::make(engine, options.threads);
    if (!server) return fail(server.error().message);
    auto fd = listen_unix(options.socket);
    if (!fd) return fail(fd.error().message);
    (*server)->listen(*fd, std::make_shared<hyper::nbd::CatalogDirectory>(**catalog, options.writing));
    for (int number = SIGHUP; number == SIGHUP;) ::sigwait(&signals, &number);
    (*server)->stop();
    ::unlink(options.socket.c_str());
    return exit_ok;
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    std::vector<std::string> allowed;
    std::string format;
    CLI::App app("Serves disk images as NBD exports, in every format, without a copy.");
    app.set_version_flag("-V,--version", "hypernbd " HYPER_VERSION);
    app.add_option("--socket", options.socket, "Listen on this Unix socket")->type_name("PATH")->required();
    app.add_flag("--rw", options.writing, "Raw images can be written");
    app.add_option("--threads", options.threads, "Event loops (default: one a processor)")->check(CLI::Range(1, 64));
    app.add_option("--format", format, "Format of all images: raw, qcow2, vmdk, vhd or vhdx (default: by file name)");
    app.add_option("--cluster-size", options.catalog.cluster_bytes, "Cluster size of qcow2 exports (default: 64k)")
        ->transform(CLI::AsSizeValue(false));
    app.add_option("--allow", allowed, "Images may refer to files in this folder too")
        ->type_name("DIR")
        ->allow_extra_args(false);
    app.add_option("specs", options.specs, "Image files or folders of images")->type_name("SPEC...")->required();
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
    options.catalog.open.allowed_dirs = allowed;
    return serve(options);
}
