// SPDX-License-Identifier: Apache-2.0
// Where libvirt keeps the state of a guest's emulated TPM, which swtpm writes.
#pragma once

#include <filesystem>
#include <string>

#include "providers/libvirt/place.h"

namespace hyper::provider::libvirt {

struct TpmState {
    const char* companion;  // what it is called beside a disk: as its file is
    const char* folder;     // that has it, in the guest's
};
inline constexpr TpmState tpm_states[] = {{"tpm2-00.permall", "tpm2"}, {"tpm-00.permall", "tpm1.2"}};

// The folder of one guest. That of a session is the one of this process's user.
std::filesystem::path tpm_folder(const Place& place, const std::string& uuid);

}  // namespace hyper::provider::libvirt
