// SPDX-License-Identifier: Apache-2.0
// XML that libvirt gives, and text that goes into XML. Bound to one thread.
#pragma once

#include <memory>
#include <optional>
#include <pugixml.hpp>
#include <string>
#include <vector>

namespace hyper::provider::libvirt {

class Xml {
  public:
    using Node = pugi::xpath_node;

    static std::optional<Xml> parse(const std::string& text);

    // What an XPath expression finds, seen from a node or, without one, from the top.
    std::vector<Node> find(const char* path, const Node& from = {}) const;
    // The text of the first of them, or "".
    std::string text(const char* path, const Node& from = {}) const;
    // All of it, as a document.
    std::string print() const;
    bool has(const char* path, const Node& from = {}) const { return !find(path, from).empty(); }

  private:
    std::unique_ptr<pugi::xml_document> doc_;
};

// As the text of an element or of an attribute.
std::string escaped(const std::string& text);

}  // namespace hyper::provider::libvirt
