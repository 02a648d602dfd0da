// SPDX-License-Identifier: Apache-2.0
#include "fusefs/tree.h"

#include <optional>

#include "blockengine/base/bytes.h"
#include "blockengine/base/hash.h"

namespace hyper {

namespace {

constexpr size_t name_bytes_max = 255;

std::string join(const std::string& folder, std::string_view name) {
    return folder.empty() ? std::string(name) : folder + "/" + std::string(name);
}

// Names of snapshots come from inside images, which are hostile: what could not be a path stays
// out.
bool usable_component(std::string_view name) {
    return !name.empty() && name != "." && name != ".." && name.size() <= name_bytes_max &&
           name.find('\0') == std::string_view::npos;
}

std::optional<std::vector<std::string>> components(const std::string& path) {
    std::vector<std::string> parts;
    for (size_t start = 0; start <= path.size();) {
        size_t slash = std::min(path.find('/', start), path.size());
        parts.push_back(path.substr(start, slash - start));
        if (!usable_component(parts.back())) return std::nullopt;
        start = slash + 1;
    }
    return parts;
}

}  // namespace

Tree::Tree(Catalog& catalog, WritableDisks* writable) : catalog_(catalog), writable_(writable) {
    nodes_.emplace(root_inode, std::make_unique<Node>(root_inode, "", ""));
}

Node* Tree::find(uint64_t inode) {
    std::lock_guard lock(mutex_);
    auto found = nodes_.find(inode);
    return found == nodes_.end() ? nullptr : found->second.get();
}

Node& Tree::node_of(const std::string& path, const std::string& export_name) {
    uint64_t inode = load_le<uint64_t>(xxh3_128(bytes_of_text(path)).data());
    for (;; ++inode) {
        if (inode <= root_inode) continue;
        std::unique_ptr<Node>& node = nodes_[inode];
        if (!node) node = std::make_unique<Node>(inode, path, export_name);
        // A name that means something else than before, as a folder or another export, is another node, with the next number.
        if (node->path == path && node->export_name == export_name) return *node;
    }
}

std::optional<Tree::Name> Tree::lookup(const Node& folder, std::string_view name) {
    if (!usable_component(name)) return std::nullopt;
    std::shared_ptr<const Listing> now = listing();
    std::string path = join(folder.path, name);
    std::string export_name = path;
    bool listed = false;
    if (auto listed_folder = now->find(folder.path); listed_folder != now->end()) {
        if (auto entry = listed_folder->second.find(name); entry != listed_folder->second.end()) {
            export_name = entry->second;
            listed = true;
        }
    }
    if (!listed && (!format_of_file_name(name) || !offers(export_name))) return std::nullopt;
    return Name{std::move(path), std::move(export_name)};
}

Node& Tree::node(const Name& name) {
    std::lock_guard lock(mutex_);
    return node_of(name.path, name.export_name);
}

std::vector<Tree::Entry> Tree::list(const Node& folder) {
    std::shared_ptr<const Listing> now = listing();
    std::vector<Entry> entries;
    auto found = now->find(folder.path);
    if (found == now->end()) return entries;
    std::lock_guard lock(mutex_);
    for (const auto& [name, export_name] : found->second)
        entries.push_back(
            {name, node_of(join(folder.path, name), export_name).inode, export_name.empty()});
    return entries;
}

std::shared_ptr<const Tree::Listing> Tree::listing() {
    auto now = std::chrono::steady_clock::now();
    {
        std::lock_guard lock(mutex_);
        if (listing_ && now - listed_at_ < listing_age_max) return listing_;
    }
    auto made = std::make_shared<Listing>();
    (*made)[""];
    auto add = [&](const std::string& path, const std::string& export_name) {
        auto parts = components(path);
        if (!parts) return;
        std::string folder;
        for (size_t i = 0; i + 1 < parts->size(); ++i) {
            (*made)[folder].try_emplace((*parts)[i]);
            folder = join(folder, (*parts)[i]);
        }
        (*made)[folder].try_emplace(parts->back(), export_name);
    };
    // The plain name of a disk may also be a folder's; with its suffix it cannot collide.
    for (const Export& item : catalog_.exports())
        if (offers(item.name)) add(item.raw_of_disk ? item.name + ".raw" : item.name, item.name);
    if (writable_ != nullptr)
        for (const std::string& name : catalog_.lazy_volumes()) add(name + ".raw", name);
    std::lock_guard lock(mutex_);
    listing_ = made;
    listed_at_ = now;
    return made;
}

}  // namespace hyper
