// SPDX-License-Identifier: Apache-2.0
// The catalog as what NBD clients are served.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "blockengine/base/unique_fd.h"
#include "blockengine/writable_file.h"
#include "catalog/catalog.h"
#include "nbdserver/export.h"

namespace hyper::nbd {

// Thread-safe. `catalog` outlives it. With `writing`, raw image files can be written, under their plain names;
// views of them are not offered then, since a view stands on content that does not change.
class CatalogDirectory : public Directory {
  public:
    CatalogDirectory(Catalog& catalog, bool writing) : catalog_(catalog), writing_(writing) {}
    std::vector<Listed> list() override;
    std::string disk_of(const std::string& name) override { return catalog_.disk_of(name); }
    Result<std::string> default_name() override { return catalog_.default_name(); }
    Result<std::shared_ptr<const Export>> open(const std::string& name) override;

    // A file that another server has open for writing; open() then takes it instead of opening its own.
    Result<void> adopt(UniqueFd fd, const std::string& path);
    // All that are open for writing.
    std::vector<std::shared_ptr<WritableFile>> written();

  private:
    Result<std::shared_ptr<WritableFile>> open_for_writing(const std::string& path);

    Catalog& catalog_;
    const bool writing_;
    std::mutex mutex_;
    std::map<std::string, std::shared_ptr<WritableFile>> written_;  // guarded by mutex_; by path
    std::vector<std::shared_ptr<WritableFile>> adopted_;                // guarded by mutex_; not in written_ yet
};

}  // namespace hyper::nbd
