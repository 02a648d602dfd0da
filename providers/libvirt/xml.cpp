// SPDX-License-Identifier: Apache-2.0
#include "providers/libvirt/xml.h"

#include <sstream>

namespace hyper::provider::libvirt {

std::optional<Xml> Xml::parse(const std::string& text) {
    Xml xml;
    xml.doc_ = std::make_unique<pugi::xml_document>();
    if (!xml.doc_->load_buffer(text.data(), text.size())) return std::nullopt;
    return xml;
}

std::vector<Xml::Node> Xml::find(const char* path, const Node& from) const {
    pugi::xml_node top = from ? from.node() : *doc_;
    auto found = top.select_nodes(path);
    return {found.begin(), found.end()};
}

std::string Xml::text(const char* path, const Node& from) const {
    std::vector<Node> found = find(path, from);
    if (found.empty()) return "";
    return found.front().attribute() ? found.front().attribute().value() : found.front().node().text().get();
}

std::string Xml::print() const {
    std::ostringstream out;
    doc_->save(out, "  ");
    return out.str();
}

std::string escaped(const std::string& text) {
    std::string out;
    for (char c : text) switch (c) {
            case '&': out += "&amp;"; break;
            case '<': out += "&lt;"; break;
            case '>': out += "&gt;"; break;
            case '\'': out += "&apos;"; break;
            case '"': out += "&quot;"; break;
            default: out += c;
        }
    return out;
}

}  // namespace hyper::provider::libvirt
