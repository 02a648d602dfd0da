// SPDX-License-Identifier: Apache-2.0
#include "convert/identity.h"

#include <fmt/format.h>

#include "blockengine/base/bytes.h"
#include "blockengine/far_reader.h"

namespace hyper {

Hash128 Identity::derive(std::string_view purpose) const {
    std::string text(reinterpret_cast<const char*>(digest.data()), digest.size());
    text += purpose;
    return xxh3_128(bytes_of_text(text));
}

Hash128 Identity::derive_uuid(std::string_view purpose) const {
    Hash128 uuid = derive(purpose);
    uuid[6] = (uuid[6] & std::byte{0x0f}) | std::byte{0x40};
    uuid[8] = (uuid[8] & std::byte{0x3f}) | std::byte{0x80};
    return uuid;
}

Identity Identity::with(std::string_view more) const { return {derive(more), time_s, lasting}; }

Identity identity_of(const File& file) {
    std::string_view name = file.path();
    name = name.substr(name.rfind('/') + 1);
    std::string text = fmt::format("{}\n{}\n{}.{:09}", name, file.size_bytes(), file.modified().tv_sec,
                                   file.modified().tv_nsec);
    // Which state of a far file this is, its remote may know.
    const FarReader* far = file.far_reader();
    if (far != nullptr) text += "\n" + far->remote().identity();
    return {xxh3_128(bytes_of_text(text)), file.modified().tv_sec, far == nullptr || !far->remote().identity().empty()};
}

std::string uuid_text(const Hash128& uuid) {
    std::string text;
    for (size_t i = 0; i < uuid.size(); ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
        text += fmt::format("{:02x}", static_cast<unsigned>(uuid[i]));
    }
    return text;
}

}  // namespace hyper
