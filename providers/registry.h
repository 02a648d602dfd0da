// SPDX-License-Identifier: Apache-2.0
// The providers of this process: which build of each is the one that new users get.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "blockengine/base/result.h"
#include "providers/ledger.h"
#include "providers/module.h"
#include "providers/remote_wish.h"

namespace hyper {

// Thread-safe. Modules are found in the folders of $HYPER_PROVIDERS (with ":" between), else in that of the installation, as
// hyper-provider-NAME.so; the first folder that has a name counts. They are loaded when first needed.
//
// Hot swap. Each time that somebody asks for a module, its file is looked at: another build is loaded, and if it is good it is the one from
// then on. Who holds the old one goes on with it. A build that is refused is logged once, and the old one stays.
class Registry {
  public:
    // Of the process. Never destroyed: modules may have threads.
    static Registry& instance();
    explicit Registry(std::vector<std::string> folders, std::string ledger_folder) : folders_(std::move(folders)), ledger_(std::move(ledger_folder)) {}

    // For a URI's scheme. Errors: EINVAL where none takes it, with those that there are; those of Module::load().
    Result<std::shared_ptr<const Module>> for_scheme(std::string_view scheme);
    Result<std::shared_ptr<const Module>> for_name(const std::string& name);
    // A module from a file elsewhere, instead of that of its name. Errors: those of Module::load(), and then nothing has changed.
    Result<std::shared_ptr<const Module>> load(const std::string& path);
    // Looks at its file anew, also where it was unloaded. Errors: those of for_name(), and why another build is refused.
    Result<std::shared_ptr<const Module>> reload(const std::string& name);
    // Nobody new gets it until it is loaded again.
    Result<void> unload(const std::string& name);

    // One a name, loaded or not; with why not.
    struct Found {
        std::string name, path, problem;
        std::shared_ptr<const Module> module;
        long users = 0;  // of this build
        size_t older_builds = 0;  // still in use
    };
    std::vector<Found> all();

    // "s3.endpoint=https://...": an option for all connections of a provider. Errors: EINVAL for another shape.
    Result<void> set(std::string_view setting);
    ProviderOptions settings_of(const std::string& provider);

    Ledger& ledger() { return ledger_; }

  private:
    struct Stamp {
        uint64_t device = 0, inode = 0, size = 0;
        int64_t modified_s = 0, modified_ns = 0;
        bool operator==(const Stamp&) const = default;
    };
    struct Entry {
        std::string path;
        Stamp stamp;  // of the file that was last tried
        std::shared_ptr<const Module> module;
        std::vector<std::weak_ptr<const Module>> older;
        std::string problem;
        bool unloaded = false;
    };

    static Stamp stamp_of(const std::string& path);
    void look();                   // needs mutex_
    void bring_up(Entry& entry);  // needs mutex_
    std::string names() const;    // needs mutex_

    const std::vector<std::string> folders_;
    Ledger ledger_;
    std::mutex mutex_;
    std::map<std::string, ProviderOptions> settings_;    // guarded by mutex_; by provider
    std::map<std::string, Entry, std::less<>> entries_;  // guarded by mutex_; by name
};

// "s3" of "s3://bucket/key"; empty where the text is no URI.
std::string_view uri_scheme(std::string_view text);

// The folder in which state is kept: $HYPER_ROOT, else /var/lib/hyper.
std::string state_folder();

}  // namespace hyper
