// SPDX-License-Identifier: Apache-2.0
#include "providers/libvirt/snapshot.h"

namespace hyper::provider::libvirt {
namespace {

// The most that an NBD server of QEMU takes in one request, and what it has under way.
constexpr uint32_t request_bytes_max = 32u << 20;
constexpr uint32_t requests_max = 64;

}  // namespace

LibvirtSnapshot::LibvirtSnapshot(const std::string& uuid, std::unique_ptr<Held> held, std::unique_ptr<NbdReader> reader,
                                 const std::vector<HeldDisk>& disks, std::vector<Companion> companions)
    : held_(std::move(held)), reader_(std::move(reader)), companions_(std::move(companions)) {
    for (uint32_t i = 0; i < disks.size(); ++i) {
        SnapshotDisk told;
        told.size_bytes = reader_->size_bytes(i);
        told.disk_id = "libvirt:" + uuid + "/" + disks[i].disk.target;
        told.change_id = disks[i].mark;
        told.consistency = disks[i].consistency;
        told.request_bytes_max = request_bytes_max;
        told.requests_max = requests_max;
        disks_.push_back(std::move(told));
        lost_.push_back(disks[i].lost);
    }
}

Outcome<std::vector<hyper_extent>> LibvirtSnapshot::extents(const hyper_call& call, uint32_t disk, uint64_t offset, uint64_t length,
                                                            size_t room) {
    return reader_->extents(call, NbdReader::Map::zeros, disk, offset, length, room);
}

Outcome<std::vector<hyper_extent>> LibvirtSnapshot::changed(const hyper_call& call, uint32_t disk, uint64_t offset, uint64_t length,
                                                            size_t room) {
    if (!lost_.at(disk).empty()) return failed(HYPER_TRACKING_LOST, "libvirt: what changed is not known: " + lost_[disk]);
    return reader_->extents(call, NbdReader::Map::dirty, disk, offset, length, room);
}

Outcome<void> LibvirtSnapshot::companions(const hyper_call&, const std::function<bool(const std::string&, std::string_view)>& found) {
    for (const auto& [name, bytes] : companions_)
        if (!found(name, bytes)) break;
    return {};
}

void LibvirtSnapshot::release(const hyper_call& call, hyper_outcome outcome) {
    reader_.reset();
    held_->end(call, outcome);
}

}  // namespace hyper::provider::libvirt
