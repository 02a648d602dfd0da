// SPDX-License-Identifier: Apache-2.0
// What belongs to a guest beside its disks: "domain.xml" and, of a running one, "domain-live.xml"; "nvram"; "tpm2-00.permall", the state
// of its TPM. Files are taken where they can be read from here.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "providers/libvirt/guest.h"
#include "providers/libvirt/place.h"
#include "providers/libvirt/virt.h"

namespace hyper::provider::libvirt {

using Companion = std::pair<std::string, std::string>;  // name, bytes

std::vector<Companion> companions_of(virDomain* domain, const Guest& guest, const Place& place);

}  // namespace hyper::provider::libvirt
