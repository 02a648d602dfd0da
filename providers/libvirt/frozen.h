// SPDX-License-Identifier: Apache-2.0
// A guest's file systems, frozen by its agent as long as one of these is held, so that what is on the disks is consistent for its
// applications. Bound to one thread.
#pragma once

#include "providers/libvirt/ledger.h"
#include "providers/libvirt/virt.h"

namespace hyper::provider::libvirt {

class Frozen {
  public:
    // Noted in the ledger, which has to live longer.
    static Outcome<Frozen> freeze(Ledger& ledger, virDomain* domain, const std::string& tag);
    Frozen(Frozen&& other) noexcept : ledger_(other.ledger_), domain_(std::exchange(other.domain_, nullptr)), tag_(other.tag_) {}
    Frozen& operator=(Frozen&&) = delete;
    ~Frozen() { thaw(); }

    void thaw();

  private:
    Frozen(Ledger& ledger, virDomain* domain, std::string tag) : ledger_(&ledger), domain_(domain), tag_(std::move(tag)) {}

    Ledger* ledger_;
    virDomain* domain_;
    std::string tag_;
};

// Of whoever froze them.
Outcome<void> thaw(virDomain* domain);

}  // namespace hyper::provider::libvirt
