// SPDX-License-Identifier: Apache-2.0
#include "providers/s3/documents.h"

#include <fmt/format.h>

#include <algorithm>
#include <pugixml.hpp>
#include <sstream>

namespace hyper::s3 {

namespace {

constexpr size_t message_bytes_max = 200;

// A server may write its namespace as a prefix: names are compared without.
std::string_view local_name(const pugi::xml_node& node) {
    std::string_view name = node.name();
    return name.substr(name.find(':') + 1);
}

pugi::xml_node child(const pugi::xml_node& parent, std::string_view name) {
    for (const pugi::xml_node& node : parent.children())
        if (local_name(node) == name) return node;
    return {};
}

std::string text_of(const pugi::xml_node& parent, std::string_view name) { return child(parent, name).text().get(); }

// The root, which has that name, with the ending "Result", or "Response" as some servers have it.
Outcome<pugi::xml_node> root_of(pugi::xml_document& document, const std::string& text, const std::string& name) {
    pugi::xml_parse_result parsed = document.load_buffer(text.data(), text.size());
    pugi::xml_node root = document.document_element();
    std::string_view found = local_name(root);
    if (!parsed || (found != name + "Result" && found != name + "Response"))
        return failed(HYPER_FATAL, fmt::format("the server's answer is no {}Result", name));
    return root;
}

std::string printable(std::string text) {
    if (text.size() > message_bytes_max) text = text.substr(0, message_bytes_max) + "...";
    std::replace_if(text.begin(), text.end(), [](unsigned char c) { return c < 32 || c > 126; }, '?');
    return text;
}

}  // namespace

ServerError server_error(const std::string& text) {
    pugi::xml_document document;
    if (!document.load_buffer(text.data(), text.size()) || local_name(document.document_element()) != "Error") return {};
    pugi::xml_node root = document.document_element();
    return {printable(text_of(root, "Code")), printable(text_of(root, "Message")), printable(text_of(root, "Region"))};
}

Outcome<Listing> listing(const std::string& text) {
    pugi::xml_document document;
    auto root = root_of(document, text, "ListBucket");
    if (!root) return tl::unexpected(root.error());
    Listing found;
    for (const pugi::xml_node& node : root->children())
        if (local_name(node) == "Contents") found.objects.push_back({text_of(node, "Key"), child(node, "Size").text().as_ullong()});
    if (child(*root, "IsTruncated").text().as_bool()) {
        found.next = text_of(*root, "NextContinuationToken");
        if (found.next.empty()) return failed(HYPER_FATAL, "the server says that its list goes on, and not where");
    }
    return found;
}

Outcome<PartListing> part_listing(const std::string& text) {
    pugi::xml_document document;
    auto root = root_of(document, text, "ListParts");
    if (!root) return tl::unexpected(root.error());
    PartListing found;
    for (const pugi::xml_node& node : root->children())
        if (local_name(node) == "Part")
            found.parts.push_back({child(node, "PartNumber").text().as_uint(), child(node, "Size").text().as_ullong(), text_of(node, "ETag"),
                                   text_of(node, "ChecksumSHA256")});
    if (child(*root, "IsTruncated").text().as_bool()) {
        found.next = child(*root, "NextPartNumberMarker").text().as_uint();
        if (found.next == 0) return failed(HYPER_FATAL, "the server says that its list goes on, and not where");
    }
    return found;
}

Outcome<UploadListing> upload_listing(const std::string& text) {
    pugi::xml_document document;
    auto root = root_of(document, text, "ListMultipartUploads");
    if (!root) return tl::unexpected(root.error());
    UploadListing found;
    for (const pugi::xml_node& node : root->children())
        if (local_name(node) == "Upload") found.uploads.push_back({text_of(node, "Key"), text_of(node, "UploadId"), text_of(node, "Initiated")});
    if (child(*root, "IsTruncated").text().as_bool()) {
        found.next_key = text_of(*root, "NextKeyMarker");
        found.next_id = text_of(*root, "NextUploadIdMarker");
        if (found.next_key.empty()) return failed(HYPER_FATAL, "the server says that its list goes on, and not where");
    }
    return found;
}

Outcome<std::string> upload_id(const std::string& text) {
    pugi::xml_document document;
    auto root = root_of(document, text, "InitiateMultipartUpload");
    if (!root) return tl::unexpected(root.error());
    std::string id = text_of(*root, "UploadId");
    if (id.empty()) return failed(HYPER_FATAL, "the server's answer names no upload");
    return id;
}

Outcome<Completed> completed(const std::string& text) {
    if (ServerError error = server_error(text); !error.code.empty()) return Completed{error, ""};
    pugi::xml_document document;
    auto root = root_of(document, text, "CompleteMultipartUpload");
    if (!root) return tl::unexpected(root.error());
    return Completed{{}, text_of(*root, "ETag")};
}

std::string completion(const std::vector<Part>& parts) {
    pugi::xml_document document;
    pugi::xml_node root = document.append_child("CompleteMultipartUpload");
    root.append_attribute("xmlns") = "http://s3.amazonaws.com/doc/2006-03-01/";
    for (const Part& part : parts) {
        pugi::xml_node node = root.append_child("Part");
        node.append_child("PartNumber").text() = part.number;
        node.append_child("ETag").text() = part.etag.c_str();
        if (!part.sha256.empty()) node.append_child("ChecksumSHA256").text() = part.sha256.c_str();
    }
    std::ostringstream text;
    document.save(text, "", pugi::format_raw);
    return text.str();
}

}  // namespace hyper::s3
