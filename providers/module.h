// SPDX-License-Identifier: Apache-2.0
// One build of one provider, loaded into this process.
#pragma once

#include <memory>
#include <string>

#include "blockengine/base/result.h"
#include "blockengine/base/unique_fd.h"
#include "providers/hyper-provider.h"
#include "providers/ledger.h"

namespace hyper {

// Thread-safe. Whoever uses its code holds it; when the last one lets go, the code is unmapped.
//
// Design note. The file is copied into memory, and that copy is loaded: a build that is copied over the old one cannot change code that
// runs. The copy's descriptor stays open as long as the module, since the loader knows libraries by name, and /proc/self/fd/N is ours only
// as long as N is.
class Module {
  public:
    // `ledger` outlives it. Errors: ENOENT and such; EINVAL for what is no provider, of another ABI, lacks a callback or fails its own
    // check, saying which.
    static Result<std::shared_ptr<const Module>> load(const std::string& path, Ledger& ledger);
    ~Module();
    Module(const Module&) = delete;
    Module& operator=(const Module&) = delete;

    // Optional callbacks that a build does not have are null.
    const hyper_provider& table() const { return table_; }
    const hyper_host* host() const { return &host_.host; }
    const std::string& path() const { return path_; }
    std::string name() const { return table_.name; }
    bool takes(std::string_view scheme) const;

  private:
    // What the C functions get back their context by.
    struct Host {
        hyper_host host;
        const Module* module;
    };
    Module(std::string path, Ledger& ledger);
    Result<void> open(int file_fd);
    Result<void> look_at_table(const hyper_provider* given);
    static const Module& module_of(const hyper_host* host) { return *reinterpret_cast<const Host*>(host)->module; }
    static void log(const hyper_host* host, hyper_log_level level, const char* message);
    static hyper_failure note(const hyper_host* host, const char* where, const char* kind, const char* id, uint64_t* entry, hyper_error* error);

    const std::string path_;
    Ledger& ledger_;
    UniqueFd copy_;
    void* library_ = nullptr;
    hyper_provider table_{};
    Host host_{};
};

}  // namespace hyper
