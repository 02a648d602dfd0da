// SPDX-License-Identifier: Apache-2.0
#include "providers/libvirt/restored.h"

#include <algorithm>

#include "providers/libvirt/xml.h"

namespace hyper::provider::libvirt {
namespace {

void remove_all(const Xml& xml, const char* path) {
    for (const Xml::Node& found : xml.find(path)) found.node().parent().remove_child(found.node());
}

pugi::xml_attribute attribute(pugi::xml_node node, const char* name) {
    pugi::xml_attribute there = node.attribute(name);
    return there ? there : node.append_attribute(name);
}

void replace_disk(pugi::xml_node disk, const RestoredDisk& restored) {
    attribute(disk, "type").set_value("file");
    for (const char* name : {"source", "backingStore", "mirror", "auth", "encryption"})
        while (disk.remove_child(name)) {
        }
    pugi::xml_node driver = disk.child("driver") ? disk.child("driver") : disk.prepend_child("driver");
    attribute(driver, "name").set_value("qemu");
    attribute(driver, "type").set_value(restored.format.c_str());
    disk.append_child("source").append_attribute("file").set_value(restored.path.c_str());
}

void replace_variables(pugi::xml_node variables, const std::string& path) {
    while (variables.remove_child("source")) {
    }
    variables.remove_attribute("type");
    variables.text().set(path.c_str());
}

}  // namespace

Outcome<std::string> restored_xml(const std::string& text, const Restored& restored) {
    auto xml = Xml::parse(text);
    auto tops = xml ? xml->find("/domain") : std::vector<Xml::Node>();
    if (tops.empty()) return failed(HYPER_BAD_CONFIGURATION, "libvirt: what was kept is no description of a domain");
    pugi::xml_node domain = tops.front().node();
    domain.remove_attribute("id");
    while (domain.remove_child("name")) {
    }
    domain.prepend_child("name").text().set(restored.name.c_str());
    for (const char* path : {"/domain/uuid", "/domain/genid/text()", "/domain/sysinfo/system/entry[@name='uuid']", "/domain/devices/interface/mac",
                             "/domain/devices/disk[@device='cdrom' or @device='floppy']/source"})
        remove_all(*xml, path);

    std::vector<Xml::Node> disks = xml->find("/domain/devices/disk[not(@device) or @device='disk' or @device='lun']");
    std::vector<RestoredDisk> wanted = restored.disks;
    auto has_no_name = [](const RestoredDisk& disk) { return disk.target.empty(); };
    if (std::any_of(wanted.begin(), wanted.end(), has_no_name) && (disks.size() != 1 || wanted.size() != 1))
        return failed(HYPER_BAD_CONFIGURATION, "libvirt: the domain had " + std::to_string(disks.size()) + " disks, and which this one was is not known");
    for (const Xml::Node& node : disks) {
        std::string target = xml->text("target/@dev", node);
        auto disk = std::find_if(wanted.begin(), wanted.end(), [&](const RestoredDisk& one) { return one.target.empty() || one.target == target; });
        if (disk == wanted.end()) {
            node.node().parent().remove_child(node.node());
            continue;
        }
        replace_disk(node.node(), *disk);
        wanted.erase(disk);
    }
    if (!wanted.empty()) return failed(HYPER_BAD_CONFIGURATION, "libvirt: the description that was kept has no disk " + wanted.front().target);
    for (const Xml::Node& variables : xml->find("/domain/os/nvram")) replace_variables(variables.node(), restored.nvram);
    for (const Xml::Node& bound : xml->find("/domain/devices/*/source[@mode='bind']/@path"))
        bound.attribute().set_value((bound.attribute().value() + ("." + restored.name)).c_str());
    return xml->print();
}

}  // namespace hyper::provider::libvirt
