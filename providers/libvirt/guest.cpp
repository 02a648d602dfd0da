// SPDX-License-Identifier: Apache-2.0
#include "providers/libvirt/guest.h"

#include <algorithm>

#include "providers/libvirt/xml.h"

namespace hyper::provider::libvirt {

const GuestDisk* Guest::disk(const std::string& target) const {
    auto at = std::find_if(disks.begin(), disks.end(), [&](const GuestDisk& disk) { return disk.target == target; });
    return at == disks.end() ? nullptr : &*at;
}

Outcome<Guest> parse_guest(const std::string& text, const char* path) {
    auto xml = Xml::parse(text);
    auto tops = xml ? xml->find(path) : std::vector<Xml::Node>();
    if (tops.empty()) return failed(HYPER_FATAL, "libvirt: the description of a domain is no XML of one");
    Xml::Node top = tops.front();

    Guest guest;
    guest.name = xml->text("name", top);
    guest.uuid = xml->text("uuid", top);
    guest.nvram = xml->text("os/nvram", top);
    guest.has_tpm = xml->has("devices/tpm/backend[@type='emulator']", top);
    guest.agent_answers = xml->has("devices/channel/target[@name='org.qemu.guest_agent.0'][@state='connected']", top);
    // "+64055:+64055"
    std::string label = xml->text("seclabel[@model='dac']/label", top);
    if (label.starts_with("+")) guest.qemu_user = label.substr(1, label.find(':') - 1);
    for (Xml::Node node : xml->find("devices/disk[not(@device) or @device='disk' or @device='lun'][source]", top)) {
        GuestDisk disk{xml->text("target/@dev", node), xml->text("@type", node), xml->text("source/@file", node),
                       xml->text("driver/@type", node)};
        if (disk.type == "block") disk.source = xml->text("source/@dev", node);
        if (disk.format.empty()) disk.format = "raw";
        guest.disks.push_back(std::move(disk));
    }
    return guest;
}

}  // namespace hyper::provider::libvirt
