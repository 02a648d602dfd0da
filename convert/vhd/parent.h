// SPDX-License-Identifier: Apache-2.0
// The names by which a differencing VHD knows its parent.
#pragma once

#include <string>
#include <vector>

#include "convert/opening.h"
#include "convert/vhd/layout.h"

namespace hyper::vhd {

struct ParentName {
    std::string field;  // for messages: "parent locator 2 (W2ru)"
    std::string name;   // UTF-8 with slashes, as Opening takes it
};

// In the order in which to try them: relative (W2ru), absolute (W2ku), the header's own. Those that are empty or not
// UTF-16 are left out. Errors: EINVAL for a locator that leads out of the file; EIO.
Result<std::vector<ParentName>> parent_names(const File& file, const DynamicHeader& header);

// The first of the names that leads to a file. Errors: the first name's, where none does.
Result<std::shared_ptr<const File>> open_parent_file(Opening& opening, const File& file,
                                                     const DynamicHeader& header);

}  // namespace hyper::vhd
