// SPDX-License-Identifier: Apache-2.0
// Checkpoints of a domain.
#pragma once

#include <string>
#include <vector>

#include "providers/libvirt/virt.h"

namespace hyper::provider::libvirt {

std::vector<std::string> checkpoint_names(virDomain* domain);

struct CheckpointDisk {
    std::string target, bitmap;
    std::string source;        // the image that it was in when the checkpoint was made
    bool is_sound = false;     // QEMU has its bitmap, and trusts it; of a running domain only
};
// Fails with HYPER_TRACKING_LOST where there is no such checkpoint.
Outcome<std::vector<CheckpointDisk>> checkpoint_disks(virDomain* domain, const std::string& name);

// Removes a checkpoint and its bitmaps; all is well if there is none. Of a stopped domain the bitmaps are taken out of the images, which
// only works on this machine.
Outcome<void> delete_checkpoint(virDomain* domain, const std::string& name, bool is_local);

}  // namespace hyper::provider::libvirt
