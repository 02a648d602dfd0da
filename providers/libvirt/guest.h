// SPDX-License-Identifier: Apache-2.0
// What a domain's description says of a guest.
#pragma once

#include <string>
#include <vector>

#include "providers/provider.h"

namespace hyper::provider::libvirt {

struct GuestDisk {
    std::string target;  // "vda"
    std::string type;    // "file", "block", "network", ...
    std::string source;  // the path of a file or block device; else ""
    std::string format;  // "qcow2", "raw", ...

    // Only qcow2 holds bitmaps that outlive QEMU.
    bool tracks_changes() const { return format == "qcow2"; }
};

struct Guest {
    std::string name, uuid;
    std::vector<GuestDisk> disks;  // those that hold something; no CD-ROMs and floppies
    std::string nvram;             // path of the variables; ""
    std::string qemu_user;         // the user id of QEMU, where the security driver says it
    bool has_tpm = false;
    bool agent_answers = false;

    const GuestDisk* disk(const std::string& target) const;
};

// `xml` is that of a domain; `path` leads to the <domain> in it.
Outcome<Guest> parse_guest(const std::string& xml, const char* path = "/domain");

}  // namespace hyper::provider::libvirt
