// SPDX-License-Identifier: Apache-2.0
// What a URI and its options mean:
//
//     libvirt://[DOMAIN[/DISK]][?connect=URI&scratch=FOLDER&quiesce=yes|no|auto]
//
// An option may stand in the URI or beside it. In the ledger all of them stand in the URI, so that whoever cleans up comes to the same
// place.
#pragma once

#include <string>

#include "providers/provider.h"

namespace hyper::provider::libvirt {

enum class Quiesce { automatic, yes, no };

struct Place {
    std::string domain, target;  // empty: all
    std::string connect = "qemu:///system";
    std::string scratch = "/var/tmp";
    Quiesce quiesce = Quiesce::automatic;

    static Outcome<Place> parse(const std::string& uri, const Options& options);
    // The URI by which a domain of this place is found again.
    std::string uri_of(const std::string& uuid) const;
    // Whether libvirt's files and sockets are on this machine.
    bool is_local() const;
    // Whether it is a user's own libvirt.
    bool is_session() const;
};

// A disk that a snapshot is wished of: "DOMAIN/TARGET", or "TARGET" where the place means one domain.
struct DiskName {
    std::string domain, target;

    static Outcome<DiskName> parse(const std::string& text, const Place& place);
};

// Only what begins so was made by this provider.
inline constexpr const char* tag_prefix = "hyper-";

// What marks a disk's state: the checkpoint that was made with it. Checkpoints that follow each other in the syncs of one disk have the
// same lineage, so that those that a crash left behind are found when the next one stays.
//
//     hyper-LINEAGE-UNIQUE/TARGET/SIZE[/READ]
//
// READ is another text each time that a stopped guest is read: what changed is told since the checkpoint, but the guest may have run since the
// last time, so these are two states.
struct Mark {
    std::string checkpoint, target;
    uint64_t size_bytes = 0;
    std::string read{};

    static bool parse(const std::string& text, Mark& mark);
    std::string text() const { return checkpoint + "/" + target + "/" + std::to_string(size_bytes) + (read.empty() ? "" : "/" + read); }
    // "hyper-LINEAGE-"
    std::string lineage() const { return checkpoint.substr(0, checkpoint.rfind('-') + 1); }
};

}  // namespace hyper::provider::libvirt
