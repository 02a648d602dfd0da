// SPDX-License-Identifier: Apache-2.0
#include "providers/libvirt/frozen.h"

namespace hyper::provider::libvirt {

Outcome<Frozen> Frozen::freeze(Ledger& ledger, virDomain* domain, const std::string& tag) {
    if (auto noted = ledger.note("freeze", tag); !noted) return tl::unexpected(noted.error());
    Frozen frozen(ledger, domain, tag);
    if (virDomainFSFreeze(domain, nullptr, 0, 0) >= 0) return frozen;
    // The agent may have frozen some of them: they are thawed at the end of this.
    return tl::unexpected(last_failure("freeze the file systems of domain " + name_of(domain)));
}

void Frozen::thaw() {
    if (domain_ == nullptr) return;
    virDomain* domain = std::exchange(domain_, nullptr);
    if (virDomainFSThaw(domain, nullptr, 0, 0) < 0 && is_active(domain)) {
        ledger_->host().log(HYPER_LOG_ERROR, last_failure("thaw the file systems of domain " + name_of(domain)).message);
        return;
    }
    ledger_->forget("freeze", tag_);
}

}  // namespace hyper::provider::libvirt
