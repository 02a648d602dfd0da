// SPDX-License-Identifier: Apache-2.0
// The description of a domain that is made of another's, which may be there still, and run.
#pragma once

#include <string>
#include <vector>

#include "providers/provider.h"

namespace hyper::provider::libvirt {

struct RestoredDisk {
    std::string target;  // empty: the only one that there is
    std::string path, format;
};

struct Restored {
    std::string name;
    std::vector<RestoredDisk> disks;
    std::string nvram;  // path of the variables; empty: libvirt makes new ones
};

// What says which machine it is (UUIDs, MAC addresses, the generation id) is left to libvirt. Other disks go, media are taken out of drives, and
// sockets that QEMU makes get ".NAME" behind theirs. Fails with HYPER_BAD_CONFIGURATION where `xml` has not all of the disks.
Outcome<std::string> restored_xml(const std::string& xml, const Restored& restored);

}  // namespace hyper::provider::libvirt
