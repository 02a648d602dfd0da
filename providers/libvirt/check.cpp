// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>
#include <unistd.h>

#include "providers/libvirt/backup.h"
#include "providers/libvirt/checkpoints.h"
#include "providers/libvirt/connection.h"
#include "providers/libvirt/guest.h"

namespace hyper::provider::libvirt {
namespace {

void check_disk(const Guest& guest, const GuestDisk& disk, bool active, const Finding& finding) {
    std::string what = guest.name + "/" + disk.target;
    if (disk.tracks_changes())
        finding(HYPER_GOOD, what, "qcow2, so what changes can be tracked");
    else
        finding(HYPER_DOUBTFUL, what, disk.format + ", so every sync reads all of it; only qcow2 can keep track of changes");
    if (!active && disk.source.empty()) finding(HYPER_BAD, what, "of type " + disk.type + ", which can be read only while the guest runs");
    if (!active && !disk.source.empty() && access(disk.source.c_str(), R_OK) != 0)
        finding(HYPER_BAD, what, "image " + disk.source + " cannot be read by this user");
}

void check_checkpoints(virDomain* domain, const Guest& guest, const Finding& finding) {
    for (const std::string& name : checkpoint_names(domain)) {
        if (!name.starts_with(tag_prefix)) continue;
        auto disks = checkpoint_disks(domain, name);
        if (!disks) continue;
        for (const CheckpointDisk& disk : *disks)
            if (!disk.is_sound)
                finding(HYPER_DOUBTFUL, guest.name + "/" + disk.target,
                        "the bitmap of checkpoint " + name + " is missing or inconsistent: the next sync compares everything");
    }
}

void check_scratch(const Place& place, const Guest& guest, const Finding& finding) {
    struct stat folder {};
    if (!place.is_local()) return;
    if (stat(place.scratch.c_str(), &folder) != 0 || !S_ISDIR(folder.st_mode))
        return finding(HYPER_BAD, "scratch", place.scratch + " is no folder");
    if (place.scratch.size() > 50)
        return finding(HYPER_BAD, "scratch", place.scratch + " is too long a name: with a socket's it has to fit into 107 bytes");
    if (guest.qemu_user.empty()) {
        bool ours = access(place.scratch.c_str(), W_OK | X_OK) == 0;
        return ours ? finding(HYPER_GOOD, "scratch", place.scratch + " can be written")
                    : finding(HYPER_DOUBTFUL, "scratch", place.scratch + " cannot be written by this user, perhaps not by QEMU either");
    }
    bool owned = std::to_string(folder.st_uid) == guest.qemu_user && (folder.st_mode & S_IWUSR);
    if (guest.qemu_user == "0" || owned || (folder.st_mode & S_IWOTH))
        finding(HYPER_GOOD, "scratch", place.scratch + " can be written by QEMU (user " + guest.qemu_user + ")");
    else
        finding(HYPER_BAD, "scratch", place.scratch + " cannot be written by QEMU (user " + guest.qemu_user + "): choose another by scratch=");
}

}  // namespace

void check_domain(virDomain* domain, const Place& place, const std::string& target, const Finding& finding) {
    auto xml = xml_of(domain, 0);
    auto guest = xml ? parse_guest(*xml) : Outcome<Guest>(tl::unexpected(xml.error()));
    if (!guest) return finding(HYPER_BAD, "domain", guest.error().message);
    bool active = is_active(domain);
    finding(HYPER_GOOD, guest->name, active ? "running" : "stopped");
    if (!active && !place.is_local()) finding(HYPER_BAD, guest->name, "stopped, and its images are on another machine");
    if (active && !place.is_local()) finding(HYPER_BAD, guest->name, "on another machine, whose NBD sockets cannot be reached from here");
    if (!target.empty() && guest->disk(target) == nullptr) return finding(HYPER_BAD, guest->name + "/" + target, "there is no such disk");
    for (const GuestDisk& disk : guest->disks)
        if (target.empty() || disk.target == target) check_disk(*guest, disk, active, finding);
    check_scratch(place, *guest, finding);
    if (!active) return;
    check_checkpoints(domain, *guest, finding);
    if (std::string job = job_of(domain); !job.empty())
        finding(HYPER_DOUBTFUL, guest->name, "has " + owner_of(job) + ", and can have only one");
    if (guest->agent_answers)
        finding(HYPER_GOOD, guest->name, "its agent answers: snapshots are application-consistent");
    else
        finding(HYPER_DOUBTFUL, guest->name, "no agent answers in the guest: snapshots are crash-consistent");
}

}  // namespace hyper::provider::libvirt
