// SPDX-License-Identifier: Apache-2.0
// A thin C++ layer over hyper-provider.h, for who writes a provider: derive from Connection and Snapshot, and let
//
//     const hyper_provider* hyper_provider_entry() {
//         static const hyper_provider table = hyper::provider::table<MyConnection>({.name = "my", ...});
//         return &table;
//     }
//
// make the table. What the C header says of threads and failures holds here. No exception leaves a callback: one becomes HYPER_FATAL.
#pragma once

#include <algorithm>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

#include "providers/hyper-provider.h"

namespace hyper::provider {

struct Failure {
    hyper_failure kind = HYPER_FATAL;
    std::string message;
    uint32_t retry_after_ms = 0;
};

template <class T>
using Outcome = tl::expected<T, Failure>;

inline tl::unexpected<Failure> failed(hyper_failure kind, std::string message, uint32_t retry_after_ms = 0) {
    return tl::unexpected<Failure>({kind, std::move(message), retry_after_ms});
}

inline void put(hyper_error* error, const Failure& failure) {
    if (error == nullptr) return;
    error->retry_after_ms = failure.retry_after_ms;
    std::snprintf(error->message, sizeof error->message, "%s", failure.message.c_str());
}

// Ends a read, well or not.
inline void finish(hyper_read& read) { read.done(&read, HYPER_OK, nullptr); }
inline void finish(hyper_read& read, const Failure& failure) {
    hyper_error error{};
    error.size = sizeof error;
    put(&error, failure);
    read.done(&read, failure.kind, &error);
}

// Thread-safe. A copy is as good as the original.
class Host {
  public:
    explicit Host(const hyper_host* host) : host_(host) {}

    void log(hyper_log_level level, const std::string& message) const { host_->log(host_, level, message.c_str()); }
    Outcome<uint64_t> note(const std::string& where, const std::string& kind, const std::string& id) const {
        uint64_t entry = 0;
        hyper_error error{};
        error.size = sizeof error;
        hyper_failure kind_of_failure = host_->note(host_, where.c_str(), kind.c_str(), id.c_str(), &entry, &error);
        if (kind_of_failure != HYPER_OK) return failed(kind_of_failure, error.message, error.retry_after_ms);
        return entry;
    }
    void forget(uint64_t entry) const { host_->forget(host_, entry); }
    std::string unique() const {
        char text[33] = {};
        host_->unique(host_, text);
        return text;
    }

  private:
    const hyper_host* host_;
};

using Options = std::vector<std::pair<std::string, std::string>>;
using Finding = std::function<void(hyper_verdict verdict, const std::string& what, const std::string& text)>;

struct Wish {
    std::vector<std::string> disks;
    bool track = false;
    std::vector<std::string> since;  // as many as disks; empty texts for none
};

struct SnapshotDisk {
    uint64_t size_bytes = 0;
    std::string identity, disk_id, change_id, format;  // empty: NULL
    hyper_consistency consistency = HYPER_CRASH_CONSISTENT;
    uint32_t request_bytes_min = 0, request_bytes_max = 0, requests_max = 0, request_bytes_good = 0;
};

struct FoundDisk {
    std::string name;
    uint64_t size_bytes = 0;
    std::string detail;
    bool tracks_changes = false;
};

struct MachineDisk {
    std::string disk_id, path, format;
};

struct Machine {
    std::string name;
    std::vector<MachineDisk> disks;
    std::vector<std::pair<std::string, std::string>> companions;  // name, bytes
    bool look_only = false;
};

class Snapshot {
  public:
    virtual ~Snapshot() = default;
    // Lives as long as the snapshot.
    virtual const SnapshotDisk& describe(uint32_t disk) const = 0;
    virtual void read(hyper_read& read) = 0;
    // At least one and at most `room`, beginning at `offset`.
    virtual Outcome<std::vector<hyper_extent>> extents(const hyper_call&, uint32_t, uint64_t, uint64_t length, size_t) {
        return std::vector<hyper_extent>{{length, 0}};
    }
    virtual Outcome<std::vector<hyper_extent>> changed(const hyper_call&, uint32_t, uint64_t, uint64_t, size_t) {
        return failed(HYPER_TRACKING_LOST, "this provider keeps no track of changes");
    }
    virtual Outcome<void> companions(const hyper_call&, const std::function<bool(const std::string& name, std::string_view bytes)>&) {
        return {};
    }
    // Then it is destroyed.
    virtual void release(const hyper_call&, hyper_outcome) {}
};

// Has besides a static Outcome<std::unique_ptr<Connection>> open(Host, const hyper_call&, const std::string& uri, const Options&).
class Connection {
  public:
    virtual ~Connection() = default;
    // The disk that the URI means; empty where it means all of a place.
    virtual const std::string& disk() const = 0;
    virtual Outcome<void> list(const hyper_call&, const std::function<bool(const FoundDisk&)>& found) = 0;
    virtual Outcome<void> check(const hyper_call&, const std::string& disk, const Finding& finding) = 0;
    virtual Outcome<std::unique_ptr<Snapshot>> take_snapshot(const hyper_call&, const Wish& wish) = 0;
    virtual Outcome<void> clean(const hyper_call&, const std::string& kind, const std::string& id) {
        return failed(HYPER_BAD_CONFIGURATION, "this provider makes no " + kind + " (" + id + ")");
    }
    virtual Outcome<void> define(const hyper_call&, const Machine& machine) {
        return failed(HYPER_BAD_CONFIGURATION, "this provider makes no machines (" + machine.name + ")");
    }
};

struct About {
    const char *name, *version, *description, *schemes, *options;
    hyper_failure (*self_check)(const hyper_host* host, hyper_error* error) = nullptr;
};

namespace detail {

template <class Call>
hyper_failure guarded(hyper_error* error, Call&& call) {
    Failure failure;
    try {
        auto done = call();
        if (done) return HYPER_OK;
        failure = std::move(done).error();
    } catch (const std::exception& exception) {
        failure = {HYPER_FATAL, std::string("the provider failed: ") + exception.what()};
    }
    put(error, failure);
    return failure.kind == HYPER_OK ? HYPER_FATAL : failure.kind;
}

inline Connection& connection(void* handle) { return *static_cast<Connection*>(handle); }
inline Snapshot& snapshot(void* handle) { return *static_cast<Snapshot*>(handle); }
inline const char* text_or_null(const std::string& text) { return text.empty() ? nullptr : text.c_str(); }

inline Outcome<void> hand_over(Outcome<std::vector<hyper_extent>> found, hyper_extent* extents, size_t* count) {
    if (!found) return tl::unexpected(std::move(found).error());
    *count = std::min(*count, found->size());
    std::copy_n(found->begin(), *count, extents);
    return {};
}

template <class MyConnection>
hyper_failure open(const hyper_host* host, const hyper_call* call, const char* uri, const hyper_option* options, size_t count,
                   void** handle, const char** disk, hyper_error* error) {
    return guarded(error, [&]() -> Outcome<void> {
        Options given;
        for (const hyper_option& option : std::span(options, count)) given.emplace_back(option.key, option.value);
        auto opened = MyConnection::open(Host(host), *call, uri, given);
        if (!opened) return tl::unexpected(std::move(opened).error());
        std::unique_ptr<Connection> mine = std::move(*opened);
        *disk = text_or_null(mine->disk());
        *handle = mine.release();
        return {};
    });
}

inline hyper_failure list(void* handle, const hyper_call* call, bool (*found)(void*, const hyper_disk*), void* opaque, hyper_error* error) {
    return guarded(error, [&] {
        return connection(handle).list(*call, [&](const FoundDisk& disk) {
            hyper_disk told{sizeof told, disk.name.c_str(), disk.size_bytes, disk.detail.c_str(), disk.tracks_changes};
            return found(opaque, &told);
        });
    });
}

inline hyper_failure check(void* handle, const hyper_call* call, const char* disk,
                           void (*finding)(void*, hyper_verdict, const char*, const char*), void* opaque, hyper_error* error) {
    return guarded(error, [&] {
        return connection(handle).check(*call, disk == nullptr ? "" : disk,
                                        [&](hyper_verdict verdict, const std::string& what, const std::string& text) {
                                            finding(opaque, verdict, what.c_str(), text.c_str());
                                        });
    });
}

inline hyper_failure take_snapshot(void* handle, const hyper_call* call, const hyper_snapshot_wish* wish, void** taken,
                                   hyper_error* error) {
    return guarded(error, [&]() -> Outcome<void> {
        Wish mine{{}, wish->track, {}};
        for (size_t i = 0; i < wish->disk_count; ++i) {
            mine.disks.emplace_back(wish->disks[i]);
            bool known = wish->since != nullptr && wish->since[i] != nullptr;
            mine.since.emplace_back(known ? wish->since[i] : "");
        }
        auto made = connection(handle).take_snapshot(*call, mine);
        if (!made) return tl::unexpected(std::move(made).error());
        *taken = made->release();
        return {};
    });
}

inline hyper_failure describe(void* handle, uint32_t disk, hyper_snapshot_disk* out, hyper_error* error) {
    return guarded(error, [&]() -> Outcome<void> {
        const SnapshotDisk& mine = snapshot(handle).describe(disk);
        size_t room = out->size;
        hyper_snapshot_disk told{room, mine.size_bytes, text_or_null(mine.identity), text_or_null(mine.disk_id),
                                 text_or_null(mine.change_id), text_or_null(mine.format), mine.consistency, mine.request_bytes_min,
                                 mine.request_bytes_max, mine.requests_max, mine.request_bytes_good};
        __builtin_memcpy(out, &told, std::min(room, sizeof told));
        return {};
    });
}

inline void read(void* handle, hyper_read* wanted) {
    try {
        snapshot(handle).read(*wanted);
    } catch (...) {
        // Whether it has been ended already cannot be told: better no answer than two.
    }
}

inline hyper_failure extents(void* handle, const hyper_call* call, uint32_t disk, uint64_t offset, uint64_t length, hyper_extent* out,
                             size_t* count, hyper_error* error) {
    return guarded(error, [&] { return hand_over(snapshot(handle).extents(*call, disk, offset, length, *count), out, count); });
}

inline hyper_failure changed(void* handle, const hyper_call* call, uint32_t disk, uint64_t offset, uint64_t length, hyper_extent* out,
                             size_t* count, hyper_error* error) {
    return guarded(error, [&] { return hand_over(snapshot(handle).changed(*call, disk, offset, length, *count), out, count); });
}

inline hyper_failure companions(void* handle, const hyper_call* call, bool (*found)(void*, const char*, const void*, size_t), void* opaque,
                                hyper_error* error) {
    return guarded(error, [&] {
        return snapshot(handle).companions(*call, [&](const std::string& name, std::string_view bytes) {
            return found(opaque, name.c_str(), bytes.data(), bytes.size());
        });
    });
}

inline void release(void* handle, const hyper_call* call, hyper_outcome outcome) {
    std::unique_ptr<Snapshot> mine(&snapshot(handle));
    guarded(nullptr, [&]() -> Outcome<void> {
        mine->release(*call, outcome);
        return {};
    });
}

inline hyper_failure clean(void* handle, const hyper_call* call, const char* kind, const char* id, hyper_error* error) {
    return guarded(error, [&] { return connection(handle).clean(*call, kind, id); });
}

inline hyper_failure define(void* handle, const hyper_call* call, const hyper_machine* given, hyper_error* error) {
    return guarded(error, [&] {
        Machine machine{given->name, {}, {}, given->look_only};
        for (const hyper_machine_disk& one : std::span(given->disks, given->disk_count))
            machine.disks.push_back({one.disk_id, one.path, one.format});
        for (const hyper_companion& one : std::span(given->companions, given->companion_count))
            machine.companions.emplace_back(one.name, std::string(static_cast<const char*>(one.bytes), one.length));
        return connection(handle).define(*call, machine);
    });
}

}  // namespace detail

template <class MyConnection>
hyper_provider table(const About& about) {
    hyper_provider made{};
    made.size = sizeof made;
    made.abi = HYPER_PROVIDER_ABI;
    made.name = about.name;
    made.version = about.version;
    made.description = about.description;
    made.schemes = about.schemes;
    made.options = about.options;
    made.self_check = about.self_check;
    made.open = &detail::open<MyConnection>;
    made.close = [](void* handle) { delete &detail::connection(handle); };
    made.list = &detail::list;
    made.check = &detail::check;
    made.take_snapshot = &detail::take_snapshot;
    made.describe = &detail::describe;
    made.read = &detail::read;
    made.extents = &detail::extents;
    made.changed = &detail::changed;
    made.companions = &detail::companions;
    made.release = &detail::release;
    made.clean = &detail::clean;
    made.define = &detail::define;
    return made;
}

}  // namespace hyper::provider
