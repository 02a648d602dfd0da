// SPDX-License-Identifier: Apache-2.0
// The catalog as what NBD clients are served.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "catalog/catalog.h"
#include "catalog/writable_disks.h"
#include "nbdserver/dirty_bitmap.h"
#include "nbdserver/export.h"

namespace hyper::nbd {

// Thread-safe. `catalog` outlives it. With `writing`, raw image files can be written, under their plain names;
// views of them are not offered then, since a view stands on content that does not change.
class CatalogDirectory : public Directory {
  public:
    CatalogDirectory(Catalog& catalog, bool writing) : catalog_(catalog), writable_(catalog), writing_(writing) {}
    std::vector<Listed> list() override;
    std::string disk_of(const std::string& name) override { return catalog_.disk_of(name); }
    Result<std::string> default_name() override { return catalog_.default_name(); }
    Result<std::shared_ptr<const Export>> open(const std::string& name) override;

    WritableDisks& writable() { return writable_; }

  private:
    Catalog& catalog_;
    WritableDisks writable_;
    const bool writing_;
    const std::shared_ptr<ChangedRuns> changed_runs_ = std::make_shared<ChangedRuns>();
};

}  // namespace hyper::nbd
