// SPDX-License-Identifier: Apache-2.0
#include "providers/s3/snapshot.h"

#include <fmt/format.h>

#include "blockengine/base/bytes.h"
#include "providers/s3/failures.h"

namespace hyper::s3 {

namespace {

constexpr uint32_t request_bytes_max = 16 * MiB;
// Each request is paid for, and takes some 20 ms before its first byte (AWS, "Performance design patterns for Amazon S3").
constexpr uint32_t request_bytes_good = MiB;

}  // namespace

ObjectSnapshot::ObjectSnapshot(std::shared_ptr<Client> client, const std::vector<std::string>& disks, const std::vector<ObjectState>& states)
    : client_(std::move(client)) {
    for (size_t i = 0; i < disks.size(); ++i) {
        std::string id = client_->place().disk_id(disks[i]), content = states[i].content();
        provider::SnapshotDisk about;
        about.size_bytes = states[i].size_bytes;
        about.identity = content.empty() ? "" : id + " " + content;
        about.disk_id = id;
        about.format = "auto";
        about.consistency = HYPER_AT_REST;
        about.request_bytes_max = request_bytes_max;
        about.request_bytes_good = request_bytes_good;
        about.requests_max = Http::connections_max;
        disks_.push_back({disks[i], states[i], about});
    }
}

const provider::SnapshotDisk& ObjectSnapshot::describe(uint32_t disk) const { return disks_.at(disk).about; }

void ObjectSnapshot::read(hyper_read& read) {
    const Disk& disk = disks_.at(read.disk);
    std::string what = fmt::format("{}: read {} bytes at offset {}", client_->place().text_of(disk.name), read.length, read.offset);
    if (!range_within(read.offset, read.length, disk.state.size_bytes))
        return provider::finish(read, {HYPER_FATAL, fmt::format("{}: it has {} bytes", what, disk.state.size_bytes)});
    if (read.length == 0) return provider::finish(read);
    Call call = client_->get(disk.name, disk.state.version, read.deadline_ns);
    call.headers = conditions(disk.state);
    call.headers.emplace_back("range", range_text(read.offset, read.length));
    auto request = client_->request(call);
    if (!request) return provider::finish(read, request.error());
    request->room = std::span(static_cast<std::byte*>(read.buffer), read.length);
    request->takes = [&disk, &read, what](const HttpAnswer& answer) { return is_of(answer, disk.state, read.offset, read.length, what).has_value(); };
    client_->http().begin(std::move(*request), [&disk, &read, what](HttpAnswer&& answer) {
        if (answer.status == 0) return provider::finish(read, failure_of(answer, what, Known::yes));
        if (auto good = is_of(answer, disk.state, read.offset, read.length, what); !good) return provider::finish(read, good.error());
        if (answer.filled == read.length) return provider::finish(read);
        if (answer.failure) return provider::finish(read, failure_of(answer, what, Known::yes));
        provider::finish(read, {HYPER_RETRY_LATER, fmt::format("{}: only {} bytes came", what, answer.filled)});
    });
}

}  // namespace hyper::s3
