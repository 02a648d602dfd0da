// SPDX-License-Identifier: Apache-2.0
// The provider's connection: a libvirt, or one domain or disk of it. Thread-safe: it holds nothing but what its URI says, and every call
// connects to libvirt for itself, so that a libvirtd that was restarted is no matter.
#pragma once

#include "providers/libvirt/place.h"
#include "providers/libvirt/virt.h"
#include "providers/provider.h"

namespace hyper::provider::libvirt {

class LibvirtConnection : public Connection {
  public:
    static Outcome<std::unique_ptr<Connection>> open(Host host, const hyper_call& call, const std::string& uri, const Options& options);

    const std::string& disk() const override { return disk_; }
    Outcome<void> list(const hyper_call& call, const std::function<bool(const FoundDisk&)>& found) override;
    Outcome<void> check(const hyper_call& call, const std::string& disk, const Finding& finding) override;
    Outcome<std::unique_ptr<Snapshot>> take_snapshot(const hyper_call& call, const Wish& wish) override;
    Outcome<void> clean(const hyper_call& call, const std::string& kind, const std::string& id) override;
    Outcome<void> define(const hyper_call& call, const Machine& machine) override;

  private:
    LibvirtConnection(Host host, Place place);

    const Host host_;
    const Place place_;
    std::string disk_;
    Quiet quiet_;
};

// Looks whether a domain's disk (all of them, if `target` is empty) can be read and tracked.
void check_domain(virDomain* domain, const Place& place, const std::string& target, const Finding& finding);

// Defines a domain of what was kept of one.
Outcome<void> define_domain(const Host& host, const Place& place, const Machine& machine);

// Removes a thing that was noted, see ledger.h.
Outcome<void> clean_up(const hyper_call& call, const Place& place, const std::string& kind, const std::string& id);

}  // namespace hyper::provider::libvirt
