// SPDX-License-Identifier: Apache-2.0
// The names of a mount: which folders and files there are, and their inode numbers.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "catalog/catalog.h"
#include "catalog/writable_disks.h"

namespace hyper {

// A folder or file that somebody has looked up. It stays for as long as the mount does: names come
// from the catalog, not from whoever asks, so there are only so many.
struct Node {
    uint64_t inode;           // from the name alone, so it is the same in every mount
    std::string path;         // below the mount point: "web01/root.qcow2"; "" is the root
    std::string export_name;  // in the catalog; empty for a folder
    // The OpenFile whose bytes the kernel may have cached; 0 for none.
    std::atomic<uint64_t> cached_serial{0};

    Node(uint64_t inode_number, std::string node_path, std::string name)
        : inode(inode_number), path(std::move(node_path)), export_name(std::move(name)) {}
    bool folder() const { return export_name.empty(); }
};

// Thread-safe.
class Tree {
  public:
    static constexpr uint64_t root_inode = 1;
    // How long an answer of the catalog is used before it looks into its directories again.
    static constexpr std::chrono::seconds listing_age_max{2};

    // `catalog` must outlive the tree, and so must `writable`, which is nullptr for a mount that is only read.
    explicit Tree(Catalog& catalog, WritableDisks* writable = nullptr);

    // nullptr for a number that was never given out.
    Node* find(uint64_t inode);
    struct Name {
        std::string path, export_name;  // as a node's
    };
    // A name that is listed, or one that only opening it can tell: a profile's ("web01.azure.vhd"),
    // or an image's that is damaged. nullopt for a name that cannot be any of these.
    std::optional<Name> lookup(const Node& folder, std::string_view name);
    // The node of a name; made now where there is none. For names that were opened: nodes stay.
    Node& node(const Name& name);

    struct Entry {
        std::string name;
        uint64_t inode;
        bool folder;
    };
    // What a folder holds now, by name; empty for one that has gone.
    std::vector<Entry> list(const Node& folder);

  private:
    // Of one folder: name -> export name, empty for a folder.
    using Folder = std::map<std::string, std::string, std::less<>>;
    using Listing = std::unordered_map<std::string, Folder>;  // by the folder's path

    std::shared_ptr<const Listing> listing();
    bool offers(const std::string& export_name) const { return writable_ == nullptr || writable_->offers(export_name); }
    // guarded by mutex_
    Node& node_of(const std::string& path, const std::string& export_name);

    Catalog& catalog_;
    WritableDisks* const writable_;
    std::mutex mutex_;
    std::unordered_map<uint64_t, std::unique_ptr<Node>> nodes_;  // guarded by mutex_
    std::shared_ptr<const Listing> listing_;                     // guarded by mutex_
    std::chrono::steady_clock::time_point listed_at_;            // guarded by mutex_
};

}  // namespace hyper
