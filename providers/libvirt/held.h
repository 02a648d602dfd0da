// SPDX-License-Identifier: Apache-2.0
// What holds a point in time of a guest's disks: the backup job of a running guest, or the readers of a stopped one's images.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "providers/libvirt/guest.h"
#include "providers/libvirt/ledger.h"
#include "providers/libvirt/nbd_reader.h"
#include "providers/libvirt/place.h"
#include "providers/libvirt/virt.h"

namespace hyper::provider::libvirt {

class Held {
  public:
    virtual ~Held() = default;
    // What cannot be removed stays in the ledger.
    virtual void end(const hyper_call& call, hyper_outcome outcome) = 0;
};

// A disk that is to be held, and what is found out about it.
struct HeldDisk {
    GuestDisk disk;
    uint64_t size_bytes = 0;
    std::string since;  // as it was wished
    Mark base;          // what that means; without a checkpoint: not known
    std::string lost;   // why what changed since is not known; empty: it is
    NbdExport from;
    std::string mark;  // the change id of this point in time; empty: none
    hyper_consistency consistency = HYPER_CRASH_CONSISTENT;
};

struct HoldWish {
    const Place& place;
    const Guest& guest;
    virDomain* domain;
    bool track;
};

Outcome<std::unique_ptr<Held>> hold_running(const hyper_call& call, Ledger ledger, const HoldWish& wish, std::vector<HeldDisk>& disks);
Outcome<std::unique_ptr<Held>> hold_stopped(const hyper_call& call, Ledger ledger, const HoldWish& wish, std::vector<HeldDisk>& disks);

}  // namespace hyper::provider::libvirt
