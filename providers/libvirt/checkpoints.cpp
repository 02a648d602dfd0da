// SPDX-License-Identifier: Apache-2.0
#include "providers/libvirt/checkpoints.h"

#include <algorithm>

#include "providers/libvirt/guest.h"
#include "providers/libvirt/process.h"
#include "providers/libvirt/xml.h"

namespace hyper::provider::libvirt {
namespace {

Outcome<void> delete_bitmaps(virDomain* domain, const std::string& name) {
    auto disks = checkpoint_disks(domain, name);
    if (!disks) return tl::unexpected(disks.error());
    for (const CheckpointDisk& disk : *disks) {
        auto done = run({"qemu-img", "bitmap", "--remove", "-f", "qcow2", "--", disk.source, disk.bitmap});
        if (!done) return tl::unexpected(done.error());
        // What it says of one that is not there: "Dirty bitmap 'NAME' not found".
        if (done->status != 0 && done->said.find("not found") == std::string::npos)
            return failed(HYPER_RETRY_LATER, "libvirt: bitmap " + disk.bitmap + " of " + disk.source + " cannot be removed: " + done->said);
    }
    return {};
}

}  // namespace

std::vector<std::string> checkpoint_names(virDomain* domain) {
    std::vector<std::string> names;
    virDomainCheckpointPtr* found = nullptr;
    int count = virDomainListAllCheckpoints(domain, &found, 0);
    for (int i = 0; i < count; ++i) {
        Checkpoint checkpoint(found[i]);
        names.emplace_back(virDomainCheckpointGetName(checkpoint.get()));
    }
    free(found);
    return names;
}

Outcome<std::vector<CheckpointDisk>> checkpoint_disks(virDomain* domain, const std::string& name) {
    Checkpoint checkpoint(virDomainCheckpointLookupByName(domain, name.c_str(), 0));
    if (!checkpoint) return failed(HYPER_TRACKING_LOST, "libvirt: domain " + name_of(domain) + " has no checkpoint " + name + " any more");
    // Sizes are told of bitmaps that QEMU trusts, and of no others.
    unsigned flags = is_active(domain) ? VIR_DOMAIN_CHECKPOINT_XML_SIZE : 0;
    Text text(virDomainCheckpointGetXMLDesc(checkpoint.get(), flags));
    if (!text) return tl::unexpected(last_failure("description of checkpoint " + name));
    auto xml = Xml::parse(text.get());
    auto guest = parse_guest(text.get(), "/domaincheckpoint/domain");
    if (!xml || !guest) return failed(HYPER_FATAL, "libvirt: checkpoint " + name + " is described by no XML of one");
    std::vector<CheckpointDisk> disks;
    for (Xml::Node node : xml->find("/domaincheckpoint/disks/disk[@checkpoint='bitmap']")) {
        CheckpointDisk disk{xml->text("@name", node), xml->text("@bitmap", node), "", xml->has("@size", node)};
        if (const GuestDisk* then = guest->disk(disk.target)) disk.source = then->source;
        disks.push_back(std::move(disk));
    }
    return disks;
}

Outcome<void> delete_checkpoint(virDomain* domain, const std::string& name, bool is_local) {
    Checkpoint checkpoint(virDomainCheckpointLookupByName(domain, name.c_str(), 0));
    if (!checkpoint) {
        if (last_code() == VIR_ERR_NO_DOMAIN_CHECKPOINT || last_code() == VIR_ERR_NO_DOMAIN) return {};
        return tl::unexpected(last_failure("find checkpoint " + name));
    }
    unsigned flags = 0;
    if (!is_active(domain)) {
        if (!is_local) return failed(HYPER_RETRY_LATER, "libvirt: checkpoint " + name + " can be deleted when domain " + name_of(domain) + " runs");
        if (auto deleted = delete_bitmaps(domain, name); !deleted) return deleted;
        flags = VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY;
    }
    if (virDomainCheckpointDelete(checkpoint.get(), flags) == 0) return {};
    // A deletion that a killed client asked for may just have been at work.
    if (last_code() == VIR_ERR_NO_DOMAIN_CHECKPOINT) return {};
    // A bitmap that is broken cannot be merged into that of an older checkpoint.
    Failure failure = last_failure("delete checkpoint " + name);
    auto disks = checkpoint_disks(domain, name);
    bool is_broken = disks && std::any_of(disks->begin(), disks->end(), [](const auto& disk) { return !disk.is_sound; });
    if (is_broken && virDomainCheckpointDelete(checkpoint.get(), VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY) == 0) return {};
    return tl::unexpected(std::move(failure));
}

}  // namespace hyper::provider::libvirt
