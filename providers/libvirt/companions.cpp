// SPDX-License-Identifier: Apache-2.0
#include "providers/libvirt/companions.h"

#include <filesystem>
#include <fstream>
#include <iterator>

#include "providers/libvirt/tpm.h"

namespace hyper::provider::libvirt {
namespace {

constexpr uint64_t file_bytes_max = 64u << 20;

void add_file(std::vector<Companion>& companions, const std::string& name, const std::filesystem::path& path) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error) || std::filesystem::file_size(path, error) > file_bytes_max || error) return;
    std::ifstream file(path, std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(file), {}};
    if (file.good() || file.eof()) companions.emplace_back(name, std::move(bytes));
}

}  // namespace

std::vector<Companion> companions_of(virDomain* domain, const Guest& guest, const Place& place) {
    std::vector<Companion> companions;
    if (auto xml = xml_of(domain, VIR_DOMAIN_XML_INACTIVE)) companions.emplace_back("domain.xml", *xml);
    if (is_active(domain))
        if (auto xml = xml_of(domain, 0)) companions.emplace_back("domain-live.xml", *xml);
    if (!place.is_local()) return companions;
    if (!guest.nvram.empty()) add_file(companions, "nvram", guest.nvram);
    if (guest.has_tpm)
        for (const TpmState& state : tpm_states)
            add_file(companions, state.companion, tpm_folder(place, guest.uuid) / state.folder / state.companion);
    return companions;
}

}  // namespace hyper::provider::libvirt
