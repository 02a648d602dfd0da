// SPDX-License-Identifier: Apache-2.0
#include "providers/s3/connection.h"

#include <fmt/format.h>

#include <algorithm>

#include "blockengine/base/bytes.h"
#include "providers/s3/documents.h"
#include "providers/s3/failures.h"
#include "providers/s3/snapshot.h"
#include "providers/s3/upload.h"

namespace hyper::s3 {

namespace {

constexpr size_t listing_bytes_max = 16 * MiB;  // a page has 1000 names at most
constexpr const char* suffixes[] = {".raw", ".img", ".qcow2", ".vmdk", ".vhd", ".vhdx"};

bool is_image(const std::string& key) {
    return std::any_of(std::begin(suffixes), std::end(suffixes), [&](const char* suffix) { return key.ends_with(suffix); });
}

std::function<bool()> cancelled(const hyper_call& call) {
    return [&call] { return call.cancelled != nullptr && call.cancelled(&call); };
}

}  // namespace

Outcome<std::unique_ptr<ObjectStore>> ObjectStore::open(provider::Host host, const hyper_call& call, const std::string& uri,
                                                        const provider::Options& options) {
    auto client = Client::open(uri, options, call.deadline_ns);
    if (!client) return tl::unexpected(client.error());
    return std::unique_ptr<ObjectStore>(new ObjectStore(host, uri, options, std::move(*client)));
}

Outcome<void> ObjectStore::clean(const hyper_call& call, const std::string& kind, const std::string& id) {
    if (kind != "upload") return Connection::clean(call, kind, id);
    auto uploader = Uploader::open(uri_, options_);
    if (!uploader) return tl::unexpected(uploader.error());
    return (*uploader)->abort(id);
}

Outcome<void> ObjectStore::list(const hyper_call& call, const std::function<bool(const provider::FoundDisk&)>& found) {
    const Place& place = client_->place();
    if (!place.is_bucket()) {
        found({disk_, 0, place.text(), false});
        return {};
    }
    std::string what = place.text() + ": list", folder = place.folder(), next;
    do {
        Call page;
        page.target = place.bucket();
        page.target.query = {{"list-type", "2"}, {"prefix", place.key()}};
        if (!next.empty()) page.target.query.emplace_back("continuation-token", next);
        page.deadline_ns = call.deadline_ns;
        auto answer = client_->ask(page, cancelled(call), listing_bytes_max);
        if (!answer) return tl::unexpected(answer.error());
        if (answer->status != 200 || answer->failure) return tl::unexpected(failure_of(*answer, what, Known::no));
        auto listed = listing(answer->text);
        if (!listed) return failed(listed.error().kind, what + ": " + listed.error().message);
        for (const ListedObject& object : listed->objects) {
            if (!is_image(object.key) || !object.key.starts_with(folder)) continue;
            std::string name = object.key.substr(folder.size());
            if (!found({name, 0, fmt::format("{} bytes, {}", object.size_bytes, place.text_of(name)), false})) return {};
        }
        next = listed->next;
    } while (!next.empty());
    return {};
}

Outcome<ObjectState> ObjectStore::state(const hyper_call& call, const std::string& disk) {
    // A GET of one byte, not a HEAD: it shows whether ranges work, its errors have a text, and a URL that is presigned for GET allows no HEAD.
    std::string what = client_->place().text_of(disk);
    Call probe = client_->get(disk, "", call.deadline_ns);
    probe.headers = {{"range", range_text(0, 1)}};
    auto answer = client_->ask(probe, cancelled(call));
    if (!answer) return tl::unexpected(answer.error());
    auto found = state_of(*answer, what);
    if (!found || found->version.empty() || !client_->place().is_bucket()) return found;

    // Reading by version is a permission of its own.
    probe = client_->get(disk, found->version, call.deadline_ns);
    probe.headers = {{"range", range_text(0, 1)}};
    answer = client_->ask(probe, cancelled(call));
    if (!answer) return tl::unexpected(answer.error());
    if (answer->status != 403) return state_of(*answer, what);
    host_.log(HYPER_LOG_INFO, what + ": its versions may not be read, so it is gone when it is overwritten");
    found->version.clear();
    return found;
}

Outcome<std::unique_ptr<provider::Snapshot>> ObjectStore::take_snapshot(const hyper_call& call, const provider::Wish& wish) {
    std::vector<ObjectState> states;
    for (const std::string& disk : wish.disks) {
        if (disk.empty() || (!client_->place().is_bucket() && disk != disk_))
            return failed(HYPER_BAD_CONFIGURATION, fmt::format("{}: has no disk \"{}\"", client_->place().text(), disk));
        auto found = state(call, disk);
        if (!found) return tl::unexpected(found.error());
        states.push_back(*found);
    }
    return std::make_unique<ObjectSnapshot>(client_, wish.disks, states);
}

Outcome<void> ObjectStore::check(const hyper_call& call, const std::string& disk, const provider::Finding& finding) {
    const Place& place = client_->place();
    if (place.is_bucket())
        finding(HYPER_GOOD, "credentials", client_->anonymous() ? "none: requests are not signed" : "found, for region " + place.region());
    std::string which = disk.empty() ? disk_ : disk;
    if (!which.empty()) return check_object(call, which, finding);
    size_t count = 0;
    auto listed = list(call, [&](const provider::FoundDisk&) { return ++count < 1000; });
    if (!listed) {
        finding(HYPER_BAD, "list", listed.error().message);
        return {};
    }
    finding(count > 0 ? HYPER_GOOD : HYPER_DOUBTFUL, "list", fmt::format("{}{} images", count, count == 1000 ? " or more" : ""));
    return {};
}

Outcome<void> ObjectStore::check_object(const hyper_call& call, const std::string& disk, const provider::Finding& finding) {
    auto found = state(call, disk);
    if (!found) {
        finding(HYPER_BAD, "object", found.error().message);
        return {};
    }
    finding(HYPER_GOOD, "object", fmt::format("{} bytes{}", found->size_bytes, found->etag.empty() ? "" : ", ETag " + found->etag));
    finding(HYPER_GOOD, "ranges", "can be read");
    if (!found->strong()) {
        finding(HYPER_DOUBTFUL, "changes", "the server gives no strong ETag: nothing is kept of what is read");
        return {};
    }
    Call probe = client_->get(disk, "", call.deadline_ns);
    probe.headers = {{"range", range_text(0, 1)}, {"if-match", "\"00000000000000000000000000000000\""}};
    auto answer = client_->ask(probe, cancelled(call));
    if (!answer) return tl::unexpected(answer.error());
    bool refused = answer->status == 412;
    finding(refused ? HYPER_GOOD : HYPER_DOUBTFUL, "changes",
            refused ? "the server refuses another state (If-Match)" : "the server ignores If-Match: changes are seen by the ETags of answers alone");
    return {};
}

}  // namespace hyper::s3
