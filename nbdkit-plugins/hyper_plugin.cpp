// SPDX-License-Identifier: Apache-2.0
// nbdkit-hyper-plugin: the catalog's disks and views as NBD exports, for those who live in nbdkit.
//
// Design note. nbdkit loads the plugin, configures it, forks (to daemonize), and only then serves.
// What does not survive a fork, the engine's rings above all, is made in after_fork(). get_ready()
// opens the same catalog once on an engine of plain preads and throws it away, so that a wrong
// configuration is told while the caller still listens. After after_fork() the state is immutable:
// the read path takes no lock of ours.
#define NBDKIT_API_VERSION 2
#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#include <dlfcn.h>
#include <nbdkit-plugin.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "blockengine/base/bytes.h"
#include "blockengine/base/log.h"
#include "catalog/catalog.h"
#include "catalog/writable_disks.h"
#include "convert/remote/remote.h"
#include "providers/connection.h"

namespace hyper {

namespace {

// More than nbdkit itself takes in one read request is never asked for.
constexpr uint32_t read_bytes_max = 64 << 20;
// nbdkit 1.32 to 1.44 abort when a uniform stretch of 4 GiB or more is described in answer to a
// request for 4 GiB - 1 (CVE-2025-47711), so one answer never covers that much. Clients ask on.
constexpr uint64_t extents_bytes_max = GiB;

// What nbdkit can list; beyond that its whole list fails. Names of snapshots come from inside
// images, which are hostile.
constexpr size_t listed_max = 10000, name_bytes_max = 4096;

struct Settings {
    std::vector<std::string> specs;
    CatalogOptions catalog;
    bool writing = false, commit_on_close = false;
    std::optional<int> thread_model;  // one of NBDKIT_THREAD_MODEL_*; none: safe_thread_model()
};

// Members die in reverse order: the catalog before its engine.
struct Service {
    Engine engine;
    std::unique_ptr<Catalog> catalog;
    std::unique_ptr<WritableDisks> writable;  // nullptr: everything is read-only
};

Settings settings;
std::unique_ptr<Service> service;

struct Connection {
    std::string name;
    std::shared_ptr<const Source> source;
    std::shared_ptr<WritableDisk> writable;  // nullptr: read-only
};

// nbdkit sends an errno that NBD does not know as EINVAL, which blames the client: those become
// EIO.
int nbd_errno(int code) {
    switch (code) {
        case EPERM:
        case EIO:
        case ENOMEM:
        case EINVAL:
        case ENOTSUP:
        case EOVERFLOW:
        case ENOSPC:
            return code;
        case EDQUOT:
        case EFBIG:
            return ENOSPC;
        default:
            return EIO;
    }
}

// Says why, once, and which errno the client gets. -1 is what nbdkit's callbacks return.
int report(const Error& error) {
    nbdkit_error("%s", error.message.c_str());
    nbdkit_set_error(nbd_errno(error.code));
    return -1;
}

// nbdkit changes to / when it daemonizes, so paths are made absolute while they still mean
// something.
bool absolute(const char* path, std::string& out) {
    char* made = nbdkit_absolute_path(path);
    if (made == nullptr) return false;
    out = made;
    std::free(made);
    return true;
}

// With several threads on a connection, nbdkit before 1.34 (1.33.10) aborts when a client leaves
// while replies are pending: one thread closes the socket, the next asserts that it is open. There
// each connection gets one thread; connections still run beside each other. A plugin is told the
// version of nbdkit's headers only, not of the nbdkit that loads it. So it asks for a function that
// came with 1.36: nbdkit_disconnect(), which came with 1.34, may be older than the fix.
int safe_thread_model() {
    bool fixed = dlsym(RTLD_DEFAULT, "nbdkit_parse_probability") != nullptr;
    return fixed ? NBDKIT_THREAD_MODEL_PARALLEL : NBDKIT_THREAD_MODEL_SERIALIZE_REQUESTS;
}

int thread_model() {
    return settings.thread_model.value_or(safe_thread_model());
}

// By nbdkit's own names.
std::optional<int> parse_thread_model(std::string_view name) {
    if (name == "parallel") return NBDKIT_THREAD_MODEL_PARALLEL;
    if (name == "serialize_requests") return NBDKIT_THREAD_MODEL_SERIALIZE_REQUESTS;
    return std::nullopt;
}

int config(const char* key_text, const char* value) {
    std::string_view key = key_text;
    std::string path;
    if (key == "source" && is_remote(value)) {
        settings.specs.emplace_back(value);
    } else if (key == "provider") {
        if (auto set = Registry::instance().set(value); !set) {
            nbdkit_error("provider=%s", set.error().message.c_str());
            return -1;
        }
    } else if (key == "source") {
        if (!absolute(value, path)) return -1;
        settings.specs.push_back(path);
    } else if (key == "allow") {
        if (!absolute(value, path)) return -1;
        settings.catalog.open.allowed_dirs.push_back(path);
    } else if (key == "format") {
        settings.catalog.open.format = parse_format(value);
        if (!settings.catalog.open.format) {
            nbdkit_error("format=%s: unknown (try raw, qcow2, vmdk, vhd or vhdx)", value);
            return -1;
        }
    } else if (key == "cluster_size") {
        int64_t bytes = nbdkit_parse_size(value);
        if (bytes < 0) return -1;
        settings.catalog.cluster_bytes = static_cast<uint64_t>(bytes);
    } else if (key == "rw") {
        int wanted = nbdkit_parse_bool(value);
        if (wanted < 0) return -1;
        settings.writing = wanted != 0;
    } else if (key == "commit") {
        std::string_view when = value;
        if (when != "by-hand" && when != "on-close") {
            nbdkit_error("commit=%s: unknown (try by-hand or on-close)", value);
            return -1;
        }
        settings.commit_on_close = when == "on-close";
    } else if (key == "thread_model") {
        settings.thread_model = parse_thread_model(value);
        if (!settings.thread_model) {
            nbdkit_error("thread_model=%s: unknown (try parallel or serialize_requests)", value);
            return -1;
        }
    } else {
        nbdkit_error(
            "unknown parameter \"%s\" (try source, format, cluster_size, allow, rw or thread_model)",
            key_text);
        return -1;
    }
    return 0;
}

int config_complete() {
    if (!settings.specs.empty()) return 0;
    nbdkit_error("no source given (try: nbdkit hyper disk.qcow2)");
    return -1;
}

int get_ready() {
    // What is far away is read by threads, which a fork does not take along: it is opened after_fork().
    if (std::ranges::any_of(settings.specs, is_remote)) return 0;
    Engine engine(make_pread_io(), 0);
    auto catalog = Catalog::open(engine, settings.specs, settings.catalog);
    if (!catalog) return report(catalog.error());
    // With one image its damage is the user's whole answer; of many, the sound ones are served.
    std::vector<Disk> disks = (*catalog)->disks();
    if (settings.specs.size() == 1 && disks.size() == 1) {
        auto image = (*catalog)->open_disk(disks[0].name);
        if (!image) return report(image.error());
    }
    return 0;
}

int after_fork() {
    auto made = std::make_unique<Service>();
    auto catalog = Catalog::open(made->engine, settings.specs, settings.catalog);
    if (!catalog) return report(catalog.error());
    made->catalog = std::move(*catalog);
    if (settings.writing) made->writable = std::make_unique<WritableDisks>(*made->catalog, settings.commit_on_close);
    service = std::move(made);
    return 0;
}

void cleanup() {
    service.reset();
    end_providers();
}

void dump_plugin() {
    std::printf("hyper_io=%s\n", std::string(make_system_io()->name()).c_str());
    std::printf("hyper_formats=raw qcow2 vmdk vhd vhdx\n");
}

int list_exports(int, int, nbdkit_exports* exports) {
    size_t listed = 0;
    for (const Export& item : service->catalog->exports()) {
        if (item.name.size() > name_bytes_max || item.name.find('\0') != std::string::npos)
            continue;
        if (service->writable && !service->writable->offers(item.name)) continue;
        if (listed++ == listed_max) {
            log_warning("only {} exports are listed; the others can be opened by name", listed_max);
            break;
        }
        std::string description = item.description.substr(0, name_bytes_max);
        if (nbdkit_add_export(exports, item.name.c_str(), description.c_str()) == -1) return -1;
    }
    return 0;
}

// nullptr: there is no default, and a client has to name one.
const char* default_export(int, int) {
    auto name = service->catalog->default_name();
    return name ? nbdkit_strdup_intern(name->c_str()) : nullptr;
}

Result<std::unique_ptr<Connection>> open_export(std::string name, bool read_only) {
    auto made = std::make_unique<Connection>();
    made->name = name.empty() ? TRY(service->catalog->default_name()) : std::move(name);
    if (service->writable) made->writable = TRY(service->writable->open(made->name));
    made->source = made->writable ? source_of(made->writable)
                                  : TRY(service->catalog->open_export(made->name));
    if (read_only) made->writable = nullptr;
    return made;
}

void* open(int read_only) {
    auto made = open_export(nbdkit_export_name(), read_only != 0);
    if (made) return made->release();
    report(made.error());
    return nullptr;
}

Connection& connection(void* handle) {
    return *static_cast<Connection*>(handle);
}

void close(void* handle) {
    delete &connection(handle);
}

const char* export_description(void* handle) {
    std::string description = service->catalog->describe(connection(handle).name);
    return description.empty() ? nullptr : nbdkit_strdup_intern(description.c_str());
}

int64_t get_size(void* handle) {
    return static_cast<int64_t>(connection(handle).source->size_bytes());
}

int yes(void*) {
    return 1;
}
int can_write(void* handle) {
    return connection(handle).writable != nullptr;
}
int can_fua(void*) {
    return NBDKIT_FUA_NATIVE;
}
int can_cache(void*) {
    return NBDKIT_CACHE_NATIVE;
}

int block_size(void* handle, uint32_t* minimum, uint32_t* preferred, uint32_t* maximum) {
    *minimum = 1;
    *preferred = preferred_request_bytes(*connection(handle).source);
    *maximum = read_bytes_max;
    return 0;
}

int pread(void* handle, void* buffer, uint32_t count, uint64_t offset, uint32_t) {
    auto done = service->engine.read(*connection(handle).source, offset,
                                     {static_cast<std::byte*>(buffer), count});
    return done ? 0 : report(done.error());
}

int extents(void* handle, uint32_t count, uint64_t offset, uint32_t flags, nbdkit_extents* out) {
    bool refused = false;
    auto done = visit_extents(
        *connection(handle).source, offset, std::min<uint64_t>(count, extents_bytes_max),
        [&](const Extent& extent) {
            uint32_t type = extent.zero ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0;
            refused = nbdkit_add_extent(out, extent.offset, extent.length, type) == -1;
            return !refused && (flags & NBDKIT_FLAG_REQ_ONE) == 0;
        });
    if (!done) return report(done.error());
    return refused ? -1 : 0;
}

int cache(void* handle, uint32_t count, uint64_t offset, uint32_t) {
    auto done = prefetch(*connection(handle).source, offset, count);
    return done ? 0 : report(done.error());
}

bool durable(uint32_t flags) {
    return (flags & NBDKIT_FLAG_FUA) != 0;
}

int pwrite(void* handle, const void* buffer, uint32_t count, uint64_t offset, uint32_t flags) {
    auto done = write(*connection(handle).writable, offset,
                      {static_cast<const std::byte*>(buffer), count}, durable(flags));
    return done ? 0 : report(done.error());
}

int flush(void* handle, uint32_t) {
    auto done = connection(handle).writable->flush();
    return done ? 0 : report(done.error());
}

int zero(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
    bool may_trim = (flags & NBDKIT_FLAG_MAY_TRIM) != 0, fast = (flags & NBDKIT_FLAG_FAST_ZERO) != 0;
    auto done = connection(handle).writable->zero(offset, count, !may_trim, fast);
    if (!done) return report(done.error());
    return durable(flags) ? flush(handle, 0) : 0;
}

int trim(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
    auto done = connection(handle).writable->trim(offset, count);
    if (!done) return report(done.error());
    return durable(flags) ? flush(handle, 0) : 0;
}

nbdkit_plugin make_plugin() {
    nbdkit_plugin plugin{};
    plugin.name = "hyper";
    plugin.longname = "hyper: any disk image, in any format, live";
    plugin.version = HYPER_VERSION;
    plugin.description =
        "serves disk images as raw disks, and as image files of other formats computed from them";
    plugin.config = config;
    plugin.config_complete = config_complete;
    plugin.config_help =
        "[source=]SPEC ...     (required) an image file, a directory of images, a volume, or a provider's URI\n"
        "format=FORMAT         of all images: raw, qcow2, vmdk, vhd or vhdx (default: by file "
        "name)\n"
        "cluster_size=SIZE     of qcow2 exports (default: 64K)\n"
        "rw=BOOL               raw images and volumes can be written (default: false)\n"
        "commit=WHEN           make a generation of what was written to a volume: by-hand or on-close (default: by-hand)\n"
        "provider=NAME.KEY=VALUE  an option of a provider\n"
        "allow=DIR             images may refer to files in DIR too, besides their own folder\n"
        "thread_model=MODEL    parallel or serialize_requests (default: what is safe here)";
    plugin.magic_config_key = "source";
    plugin.thread_model = thread_model;
    plugin.get_ready = get_ready;
    plugin.after_fork = after_fork;
    plugin.cleanup = cleanup;
    plugin.dump_plugin = dump_plugin;
    plugin.list_exports = list_exports;
    plugin.default_export = default_export;
    plugin.open = open;
    plugin.close = close;
    plugin.export_description = export_description;
    plugin.get_size = get_size;
    plugin.can_write = can_write;
    plugin.can_flush = can_write;
    plugin.can_trim = can_write;
    plugin.can_zero = can_write;
    plugin.can_fast_zero = can_write;
    plugin.can_fua = can_fua;
    plugin.can_multi_conn = yes;
    plugin.can_extents = yes;
    plugin.can_cache = can_cache;
    plugin.block_size = block_size;
    plugin.pread = pread;
    plugin.pwrite = pwrite;
    plugin.flush = flush;
    plugin.zero = zero;
    plugin.trim = trim;
    plugin.extents = extents;
    plugin.cache = cache;
    return plugin;
}

}  // namespace

}  // namespace hyper

static nbdkit_plugin plugin = hyper::make_plugin();
NBDKIT_REGISTER_PLUGIN(plugin)
