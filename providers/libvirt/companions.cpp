// SPDX-License-Identifier: Apache-2.0
#include "providers/libvirt/companions.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>

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

// Where libvirt keeps what swtpm writes: of the system, and of a session.
std::vector<std::filesystem::path> tpm_folders(const std::string& uuid) {
    std::vector<std::filesystem::path> folders{"/var/lib/libvirt/swtpm/" + uuid};
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (config != nullptr && *config != '\0')
        folders.push_back(std::filesystem::path(config) / "libvirt/qemu/swtpm" / uuid);
    else if (home != nullptr)
        folders.push_back(std::filesystem::path(home) / ".config/libvirt/qemu/swtpm" / uuid);
    return folders;
}

}  // namespace

std::vector<Companion> companions_of(virDomain* domain, const Guest& guest, bool is_local) {
    std::vector<Companion> companions;
    if (auto xml = xml_of(domain, VIR_DOMAIN_XML_INACTIVE)) companions.emplace_back("domain.xml", *xml);
    if (is_active(domain))
        if (auto xml = xml_of(domain, 0)) companions.emplace_back("domain-live.xml", *xml);
    if (!is_local) return companions;
    if (!guest.nvram.empty()) add_file(companions, "nvram", guest.nvram);
    if (guest.has_tpm)
        for (const auto& folder : tpm_folders(guest.uuid)) {
            add_file(companions, "tpm2-00.permall", folder / "tpm2/tpm2-00.permall");
            add_file(companions, "tpm-00.permall", folder / "tpm1.2/tpm-00.permall");
        }
    return companions;
}

}  // namespace hyper::provider::libvirt
