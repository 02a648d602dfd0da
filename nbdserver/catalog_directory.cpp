// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/catalog_directory.h"

#include <algorithm>
#include <cerrno>

#include "blockengine/base/log.h"

namespace hyper::nbd {

std::vector<Listed> CatalogDirectory::list() {
    // Names of snapshots come from inside images, so there may be any number of them.
    constexpr size_t listed_max = 10000;
    std::vector<Listed> names;
    if (writing_)
        for (std::string& name : catalog_.lazy_volumes()) names.push_back({name, "a volume without a generation yet", name});
    for (hyper::Export& item : catalog_.exports()) {
        if (writing_ && !writable_.offers(item.name)) continue;
        if (names.size() == listed_max) {
            log_warning("only {} exports are listed; the others can be opened by name", listed_max);
            break;
        }
        std::string disk = catalog_.disk_of(item.name);
        names.push_back({std::move(item.name), std::move(item.description), std::move(disk)});
    }
    return names;
}

Result<std::shared_ptr<const Export>> CatalogDirectory::open(const std::string& name) {
    auto exported = std::make_shared<Export>();
    exported->name = name.empty() ? TRY(catalog_.default_name()) : name;
    if (writing_) exported->writable = TRY(writable_.open(exported->name));
    exported->movable = !exported->writable || std::dynamic_pointer_cast<WritableFile>(exported->writable) != nullptr;
    exported->source = exported->writable ? source_of(exported->writable) : TRY(catalog_.open_export(exported->name));
    exported->description = catalog_.describe(exported->name);
    exported->preferred_bytes = preferred_request_bytes(*exported->source);
    exported->contexts = {allocation_context(exported->source), depth_context(exported->source)};
    for (auto& context : dirty_contexts(exported->source, changed_runs_)) exported->contexts.push_back(std::move(context));
    return exported;
}

}  // namespace hyper::nbd
