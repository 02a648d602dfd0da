// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "providers/libvirt/companions.h"
#include "providers/libvirt/held.h"

namespace hyper::provider::libvirt {

// A point in time of disks of one domain. Thread-safe, but for release() and the end.
class LibvirtSnapshot : public Snapshot {
  public:
    LibvirtSnapshot(const std::string& uuid, std::unique_ptr<Held> held, std::unique_ptr<NbdReader> reader,
                    const std::vector<HeldDisk>& disks, std::vector<Companion> companions);

    const SnapshotDisk& describe(uint32_t disk) const override { return disks_.at(disk); }
    void read(hyper_read& read) override { reader_->read(read); }
    Outcome<std::vector<hyper_extent>> extents(const hyper_call& call, uint32_t disk, uint64_t offset, uint64_t length,
                                               size_t room) override;
    Outcome<std::vector<hyper_extent>> changed(const hyper_call& call, uint32_t disk, uint64_t offset, uint64_t length,
                                               size_t room) override;
    Outcome<void> companions(const hyper_call& call, const std::function<bool(const std::string&, std::string_view)>& found) override;
    void release(const hyper_call& call, hyper_outcome outcome) override;

  private:
    Quiet quiet_;
    std::unique_ptr<Held> held_;
    std::unique_ptr<NbdReader> reader_;
    std::vector<SnapshotDisk> disks_;
    std::vector<std::string> lost_;  // by disk: why what changed is not known; "": it is
    std::vector<Companion> companions_;
};

}  // namespace hyper::provider::libvirt
