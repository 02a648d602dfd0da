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
    if (auto thawed = libvirt::thaw(std::exchange(domain_, nullptr)); !thawed)
        ledger_->host().log(HYPER_LOG_ERROR, thawed.error().message + "; it stays in the ledger");
    else
        ledger_->forget("freeze", tag_);
}

Outcome<void> thaw(virDomain* domain) {
    if (virDomainFSThaw(domain, nullptr, 0, 0) >= 0) return {};
    bool has_agent = last_code() != VIR_ERR_ARGUMENT_UNSUPPORTED;
    Failure failure = last_failure("thaw the file systems of domain " + name_of(domain));
    // Where no agent can be, or no guest is, nothing is frozen.
    if (!has_agent || !is_active(domain)) return {};
    return tl::unexpected(std::move(failure));
}

}  // namespace hyper::provider::libvirt
