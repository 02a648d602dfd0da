// SPDX-License-Identifier: Apache-2.0
// Objects of a place, held as they were: by their versions or ETags, since a store of objects takes no snapshots.
#pragma once

#include <memory>
#include <vector>

#include "providers/s3/client.h"
#include "providers/s3/object.h"

namespace hyper::s3 {

// Thread-safe.
class ObjectSnapshot : public provider::Snapshot {
  public:
    ObjectSnapshot(std::shared_ptr<Client> client, const std::vector<std::string>& disks, const std::vector<ObjectState>& states);

    const provider::SnapshotDisk& describe(uint32_t disk) const override;
    void read(hyper_read& read) override;

  private:
    struct Disk {
        std::string name;
        ObjectState state;
        provider::SnapshotDisk about;
    };
    std::shared_ptr<Client> client_;
    std::vector<Disk> disks_;
};

}  // namespace hyper::s3
