// SPDX-License-Identifier: Apache-2.0
// The text that describes a VMDK: what disk it is and which extents it is made of.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "blockengine/base/result.h"
#include "convert/view.h"

namespace hyper::vmdk {

inline constexpr uint32_t cid_none = 0xffffffff;

struct ExtentLine {
    enum class Type { flat, sparse, zero };  // flat stands for VMFS too
    uint64_t sectors = 0;
    Type type = Type::zero;
    std::string file_name;  // empty for zero
    uint64_t file_offset_sectors = 0;
};

struct Descriptor {
    uint32_t cid = 0;
    uint32_t parent_cid = cid_none;
    std::string create_type;
    std::string parent_hint;
    std::string adapter_type, hardware_version;  // empty where not given
    std::vector<ExtentLine> extents;
    uint64_t sectors = 0;  // of all extents together; at most disk_bytes_max
};

// `text` ends at the first NUL; `path` is for messages. Errors: EINVAL for what is not a descriptor; ENOTSUP for types
// that are not read here.
Result<Descriptor> parse_descriptor(std::string_view path, std::string_view text);

// What the views write. `extent` is the extent line.
std::string write_descriptor(const ViewInput& input, std::string_view create_type, std::string_view extent);
// A file name that is safe within the quotes of an extent line.
std::string quotable(std::string_view file_name);

}  // namespace hyper::vmdk
