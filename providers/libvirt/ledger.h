// SPDX-License-Identifier: Apache-2.0
// The kinds of things that this provider makes and notes, each before it is made:
//
//     backup      hyper-TAG             a backup job, known by its socket
//     checkpoint  hyper-LINEAGE-TAG     with the bitmaps in the images
//     scratch     /FOLDER/hyper-...     a file that QEMU keeps old blocks in
//     socket      /FOLDER/hyper-...     an NBD socket
//     reader      /FOLDER/hyper-...     a qemu-nbd of ours, known by its socket
//     freeze      hyper-TAG             the guest's file systems
#pragma once

#include <string>
#include <vector>

#include "providers/provider.h"

namespace hyper::provider::libvirt {

// What one snapshot noted, and where. Bound to one thread at a time.
class Ledger {
  public:
    Ledger(Host host, std::string where) : host_(host), where_(std::move(where)) {}

    const Host& host() const { return host_; }

    Outcome<void> note(const std::string& kind, const std::string& id) {
        auto entry = host_.note(where_, kind, id);
        if (!entry) return tl::unexpected(std::move(entry).error());
        entries_.push_back({kind, id, *entry});
        return {};
    }

    // It is surely gone, or somebody else answers for it now.
    void forget(const std::string& kind, const std::string& id) {
        std::erase_if(entries_, [&](const Entry& entry) {
            if (entry.kind != kind || entry.id != id) return false;
            host_.forget(entry.number);
            return true;
        });
    }

    bool has(const std::string& kind, const std::string& id) const {
        for (const Entry& entry : entries_)
            if (entry.kind == kind && entry.id == id) return true;
        return false;
    }
    // What of a kind is not forgotten.
    std::vector<std::string> noted(const std::string& kind) const {
        std::vector<std::string> ids;
        for (const Entry& entry : entries_)
            if (entry.kind == kind) ids.push_back(entry.id);
        return ids;
    }

  private:
    struct Entry {
        std::string kind, id;
        uint64_t number;
    };

    Host host_;
    std::string where_;
    std::vector<Entry> entries_;
};

}  // namespace hyper::provider::libvirt
