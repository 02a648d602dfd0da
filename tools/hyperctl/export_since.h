// SPDX-License-Identifier: Apache-2.0
// Brings a disk that holds an old generation to a newer one, in place.
#pragma once

#include <string>

#include "tools/hyperctl/operand.h"

namespace hyper::ctl {

struct ExportSince {
    std::string since;         // the generation that `destination` holds
    std::string destination;   // a raw file, a block device or an NBD URI
    bool progress = false, json = false;
};

// Writes where `operand`, a generation of a volume, differs from the older one, and nowhere else. Whoever interrupts it runs it
// again. Errors: EINVAL where the disk is of another size, or there is no such generation any more.
Result<int> export_since(Engine& engine, const Operand& operand, const ExportSince& options);

}  // namespace hyper::ctl
