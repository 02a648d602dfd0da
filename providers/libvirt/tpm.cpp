// SPDX-License-Identifier: Apache-2.0
#include "providers/libvirt/tpm.h"

#include <stdlib.h>

namespace hyper::provider::libvirt {

std::filesystem::path tpm_folder(const Place& place, const std::string& uuid) {
    if (!place.is_session()) return "/var/lib/libvirt/swtpm/" + uuid;
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    std::filesystem::path folder = config != nullptr && *config != '\0' ? std::filesystem::path(config)
                                                                       : std::filesystem::path(home == nullptr ? "" : home) / ".config";
    return folder / "libvirt/qemu/swtpm" / uuid;
}

}  // namespace hyper::provider::libvirt
