// SPDX-License-Identifier: Apache-2.0
// What of libvirt's C interface is used: handles that free themselves, and its errors in the vocabulary of providers.
#pragma once

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <memory>
#include <string>
#include <vector>

#include "providers/provider.h"

namespace hyper::provider::libvirt {

struct Freer {
    void operator()(virConnect* connect) const { virConnectClose(connect); }
    void operator()(virDomain* domain) const { virDomainFree(domain); }
    void operator()(virDomainCheckpoint* checkpoint) const { virDomainCheckpointFree(checkpoint); }
    void operator()(char* text) const { free(text); }
};
using Connect = std::unique_ptr<virConnect, Freer>;
using Domain = std::unique_ptr<virDomain, Freer>;
using Checkpoint = std::unique_ptr<virDomainCheckpoint, Freer>;
using Text = std::unique_ptr<char, Freer>;

// While one is held libvirt prints no errors of its own.
class Quiet {
  public:
    Quiet();
    ~Quiet();
    Quiet(const Quiet&) = delete;
    Quiet& operator=(const Quiet&) = delete;
};

// The failure of the call that this thread made last; `what` was attempted.
Failure last_failure(const std::string& what);
int last_code();

Outcome<Connect> connect_to(const std::string& uri);
// By its name, or else by its UUID.
Outcome<Domain> find_domain(virConnect* connect, const std::string& name);
std::string name_of(virDomain* domain);
std::string uuid_of(virDomain* domain);
bool is_active(virDomain* domain);
Outcome<std::string> xml_of(virDomain* domain, unsigned flags);
// The backup job that runs in a domain, as XML; empty if there is none.
std::string job_of(virDomain* domain);

// How long a call may still take.
int ms_left(const hyper_call& call);
bool given_up(const hyper_call& call);

}  // namespace hyper::provider::libvirt
