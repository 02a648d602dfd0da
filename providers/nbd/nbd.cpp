// SPDX-License-Identifier: Apache-2.0
// The nbd provider: the exports of any NBD server, and by one of our own the files of machines that ssh reaches.
//
// What changed. A dirty bitmap of the server named X tells what changed since X was begun (so qemu and libvirt name them, and hypernbd its
// generations). So the change id of a state is the name of the bitmap that begins there: option change-id tells it, since only who began the
// bitmap knows; and to be compared with X the context qemu:dirty-bitmap:X is asked for.
#include <atomic>
#include <condition_variable>

#include "providers/nbd/line.h"
#include "providers/nbd/ssh_server.h"

namespace hyper::nbd {

using provider::failed;
using provider::Failure;
using provider::Outcome;

namespace {

constexpr size_t lines_max = 4;

// Without password and query, but with the socket, which tells servers apart.
std::string shown_of(const std::string& uri) {
    size_t query = uri.find('?');
    std::string shown = uri.substr(0, query);
    size_t authority = shown.find("://"), end = authority == std::string::npos ? 0 : std::min(shown.find('/', authority + 3), shown.size());
    if (authority != std::string::npos) {
        size_t at = shown.rfind('@', end), colon = shown.find(':', authority + 3);
        if (at != std::string::npos && at > authority && colon < at) shown.erase(colon, at - colon);
    }
    if (query == std::string::npos) return shown;
    size_t socket = uri.find("socket=", query);
    return socket == std::string::npos ? shown : shown + "?" + uri.substr(socket, uri.find('&', socket) - socket);
}

std::string bitmap_context(const std::string& name) { return "qemu:dirty-bitmap:" + name; }

class Snapshot : public provider::Snapshot {
  public:
    Snapshot(Server server, const provider::SnapshotDisk& disk, std::string since, std::string context)
        : server_(std::move(server)), disk_(disk), since_(std::move(since)), changes_context_(std::move(context)) {
        lines_.push_back(std::make_unique<Line>(server_, std::nullopt));
    }

    Outcome<void> connect(const hyper_call& call) {
        auto facts = lines_[0]->connected(call);
        if (!facts) return tl::unexpected(facts.error());
        facts_ = *facts;
        disk_.size_bytes = facts_.size_bytes;
        disk_.request_bytes_min = static_cast<uint32_t>(facts_.request_bytes_min);
        disk_.request_bytes_max = static_cast<uint32_t>(facts_.request_bytes_max);
        while (facts_.multi_conn && lines_.size() < lines_max) lines_.push_back(std::make_unique<Line>(server_, facts_));
        return {};
    }

    const provider::SnapshotDisk& describe(uint32_t) const override { return disk_; }

    void read(hyper_read& read) override { next_line().read(read); }

    Outcome<std::vector<hyper_extent>> extents(const hyper_call& call, uint32_t, uint64_t offset, uint64_t length, size_t room) override {
        if (!has(LIBNBD_CONTEXT_BASE_ALLOCATION)) return std::vector<hyper_extent>{{length, 0}};
        return ask(call, LIBNBD_CONTEXT_BASE_ALLOCATION, offset, length, room,
                   [](uint32_t flags) { return flags & LIBNBD_STATE_ZERO ? uint32_t{HYPER_EXTENT_ZERO} : 0u; });
    }

    Outcome<std::vector<hyper_extent>> changed(const hyper_call& call, uint32_t, uint64_t offset, uint64_t length, size_t room) override {
        if (since_.empty()) return failed(HYPER_TRACKING_LOST, "there is nothing that it was to be compared with");
        if (!has(changes_context_)) return failed(HYPER_TRACKING_LOST, "the server has no bitmap \"" + since_ + "\"");
        return ask(call, changes_context_, offset, length, room, [](uint32_t flags) { return flags & 1 ? uint32_t{HYPER_EXTENT_CHANGED} : 0u; });
    }

  private:
    // By turns, where the server has let them in: some promise that several may come, and let in one.
    Line& next_line() {
        for (size_t left_out = 0; left_out < lines_.size(); ++left_out) {
            Line& line = *lines_[next_line_++ % lines_.size()];
            if (line.was_connected()) return line;
        }
        return *lines_[0];
    }
    bool has(const std::string& context) const {
        return std::find(facts_.contexts.begin(), facts_.contexts.end(), context) != facts_.contexts.end();
    }

    Outcome<std::vector<hyper_extent>> ask(const hyper_call& call, const std::string& context, uint64_t offset, uint64_t length, size_t room,
                                           Line::Translate translate) {
        struct Answer {
            std::mutex mutex;
            std::condition_variable there;
            std::optional<Outcome<std::vector<hyper_extent>>> told;  // guarded by mutex
        };
        auto answer = std::make_shared<Answer>();
        lines_[0]->status(context, translate, offset, length, room, [answer](Outcome<std::vector<hyper_extent>> told) {
            std::lock_guard lock(answer->mutex);
            answer->told = std::move(told);
            answer->there.notify_all();
        });
        std::unique_lock lock(answer->mutex);
        while (!answer->told) {
            if (call.cancelled(&call) || now_ns() >= call.deadline_ns) return failed(HYPER_RETRY_LATER, "no answer about " + context);
            answer->there.wait_for(lock, std::chrono::milliseconds(100));
        }
        return std::move(*answer->told);
    }

    const Server server_;
    provider::SnapshotDisk disk_;
    const std::string since_, changes_context_;
    Facts facts_;
    std::vector<std::unique_ptr<Line>> lines_;
    std::atomic<size_t> next_line_ = 0;
};

class Connection : public provider::Connection {
  public:
    static Outcome<std::unique_ptr<provider::Connection>> open(provider::Host, const hyper_call&, const std::string& uri,
                                                               const provider::Options& options) {
        auto made = std::make_unique<Connection>();
        for (const auto& [key, value] : options) {
            bool for_ssh = key == "ssh-config" || key == "ssh-identity" || key == "ssh-known-hosts";
            if (key != "change-id" && !for_ssh)
                return failed(HYPER_BAD_CONFIGURATION, "option \"" + key + "\" is not known (change-id, ssh-config, ssh-identity and ssh-known-hosts are)");
            if (!for_ssh) made->change_id_ = value;
        }
        if (uri.starts_with(ssh_scheme)) {
            auto server = ssh_server(uri, options);
            if (!server) return tl::unexpected(server.error());
            made->server_ = *server;
            made->name_ = uri.substr(uri.rfind('/') + 1);
            made->format_ = "auto";
        } else {
            made->server_ = {uri, shown_of(uri), {}, {}};
            made->name_ = "the export";
        }
        return made;
    }

    const std::string& disk() const override { return name_; }

    Outcome<void> list(const hyper_call&, const std::function<bool(const provider::FoundDisk&)>& found) override {
        if (!server_.command.empty()) {
            found({name_, 0, "a file that is read by ssh", false});
            return {};
        }
        nbd_handle* nbd = ::nbd_create();
        if (nbd == nullptr) return failed(HYPER_FATAL, "create a handle");
        struct Visit {
            const std::function<bool(const provider::FoundDisk&)>& found;
            bool stopped;
        } visit{found, false};
        auto each = [](void* opaque, const char* name, const char* description) {
            auto& mine = *static_cast<Visit*>(opaque);
            if (!mine.stopped) mine.stopped = !mine.found({name, 0, description == nullptr ? "" : description, false});
            return 0;
        };
        bool asked = ::nbd_set_opt_mode(nbd, true) == 0 && ::nbd_set_uri_allow_local_file(nbd, true) == 0 &&
                     ::nbd_connect_uri(nbd, server_.uri.c_str()) == 0 &&
                     ::nbd_opt_list(nbd, {each, &visit, nullptr}) >= 0;
        std::string why = asked ? "" : ::nbd_get_error();
        ::nbd_close(nbd);
        if (!asked) return failed(HYPER_RETRY_LATER, "list exports: " + why);
        return {};
    }

    Outcome<void> check(const hyper_call& call, const std::string&, const provider::Finding& finding) override {
        Line line(server_, std::nullopt);
        auto facts = line.connected(call);
        if (!facts) {
            finding(HYPER_BAD, "connection", facts.error().message);
            return {};
        }
        finding(HYPER_GOOD, "connection", "an export of " + std::to_string(facts->size_bytes) + " bytes");
        bool extents = !facts->contexts.empty();
        finding(extents ? HYPER_GOOD : HYPER_DOUBTFUL, "base:allocation",
                extents ? "what is zero need not be read" : "the server does not tell what is zero; everything is read");
        finding(facts->multi_conn ? HYPER_GOOD : HYPER_DOUBTFUL, "several connections",
                facts->multi_conn ? "are used" : "the server does not promise that they see the same; one is used");
        return {};
    }

    Outcome<std::unique_ptr<provider::Snapshot>> take_snapshot(const hyper_call& call, const provider::Wish& wish) override {
        if (wish.disks.size() != 1) return failed(HYPER_BAD_CONFIGURATION, "an NBD URI means one disk");
        provider::SnapshotDisk disk;
        disk.disk_id = "nbd:" + server_.shown;
        disk.format = format_;
        disk.change_id = wish.track ? change_id_ : "";
        std::string since = wish.since.empty() ? "" : wish.since[0];
        Server server = server_;
        std::string context = bitmap_context(since);
        if (!since.empty()) server.contexts.push_back(context);
        auto snapshot = std::make_unique<Snapshot>(server, disk, since, context);
        auto connected = snapshot->connect(call);
        if (!connected) return tl::unexpected(connected.error());
        return snapshot;
    }

  private:
    Server server_;
    std::string name_, change_id_, format_;
};

}  // namespace

}  // namespace hyper::nbd

const hyper_provider* hyper_provider_entry() {
    static const hyper_provider table = hyper::provider::table<hyper::nbd::Connection>(
        {.name = "nbd",
         .version = HYPER_VERSION,
         .description = "exports of any NBD server",
         .schemes = "nbd nbds nbd+unix nbds+unix nbd+vsock nbds+vsock ssh",
         .options = "change-id ssh-config ssh-identity ssh-known-hosts"});
    return &table;
}
