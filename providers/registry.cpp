// SPDX-License-Identifier: Apache-2.0
#include "providers/registry.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "blockengine/base/log.h"

namespace hyper {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view prefix = "hyper-provider-", suffix = ".so";

std::vector<std::string> folders_of_process() {
    const char* given = ::getenv("HYPER_PROVIDERS");
    std::string_view text = given == nullptr || *given == 0 ? HYPER_PROVIDER_FOLDER : given;
    std::vector<std::string> folders;
    while (!text.empty()) {
        size_t end = std::min(text.find(':'), text.size());
        if (end > 0) folders.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return folders;
}

// "s3" of "hyper-provider-s3.so"; empty for another file.
std::string name_of_file(const fs::path& path) {
    std::string file = path.filename().string();
    if (!file.starts_with(prefix) || !file.ends_with(suffix) || file.size() <= prefix.size() + suffix.size()) return {};
    return file.substr(prefix.size(), file.size() - prefix.size() - suffix.size());
}

}  // namespace

std::string_view uri_scheme(std::string_view text) {
    size_t end = text.find("://");
    if (end == std::string_view::npos || end == 0) return {};
    for (char c : text.substr(0, end))
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '+' && c != '-' && c != '.') return {};
    return text.substr(0, end);
}

std::string state_folder() {
    const char* root = ::getenv("HYPER_ROOT");
    return root == nullptr || *root == 0 ? "/var/lib/hyper" : root;
}

Registry& Registry::instance() {
    static Registry* one = new Registry(folders_of_process(), state_folder() + "/ledger");
    return *one;
}

Registry::Stamp Registry::stamp_of(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) return {};
    return {status.st_dev, status.st_ino, static_cast<uint64_t>(status.st_size), status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
}

void Registry::look() {
    for (const std::string& folder : folders_) {
        std::error_code error;
        for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
            std::string name = name_of_file(at->path());
            if (!name.empty()) entries_.try_emplace(name, Entry{at->path().string(), {}, nullptr, {}, {}, false});
        }
    }
}

void Registry::bring_up(Entry& entry) {
    if (entry.unloaded) return;
    Stamp now = stamp_of(entry.path);
    if (now == entry.stamp && (entry.module || !entry.problem.empty())) return;
    entry.stamp = now;
    auto loaded = Module::load(entry.path, ledger_);
    if (!loaded) {
        entry.problem = loaded.error().message;
        log_warning("{}{}", entry.problem, entry.module ? "; the build before it stays" : "");
        return;
    }
    entry.problem.clear();
    if (entry.module) {
        std::erase_if(entry.older, [](const auto& module) { return module.expired(); });
        entry.older.push_back(entry.module);
        log_info("provider {}: another build of {} is used from now on", (*loaded)->name(), entry.path);
    }
    entry.module = std::move(*loaded);
}

std::string Registry::names() const {
    std::string names;
    for (const auto& [name, entry] : entries_) names += (names.empty() ? "" : ", ") + name;
    return names.empty() ? "none" : names;
}

Result<std::shared_ptr<const Module>> Registry::for_scheme(std::string_view scheme) {
    std::lock_guard lock(mutex_);
    look();
    // Most schemes are called like their provider: then no other is loaded.
    if (auto at = entries_.find(scheme); at != entries_.end()) {
        bring_up(at->second);
        if (at->second.module && at->second.module->takes(scheme)) return at->second.module;
    }
    for (auto& [name, entry] : entries_) {
        bring_up(entry);
        if (entry.module && entry.module->takes(scheme)) return entry.module;
    }
    std::string problems;
    for (const auto& [name, entry] : entries_)
        if (!entry.module && !entry.problem.empty()) problems += "; " + entry.problem;
    return fail(EINVAL, "no provider takes {}:// (there are: {}){}", scheme, names(), problems);
}

Result<std::shared_ptr<const Module>> Registry::for_name(const std::string& name) {
    std::lock_guard lock(mutex_);
    look();
    auto at = entries_.find(name);
    if (at == entries_.end()) return fail(ENOENT, "there is no provider \"{}\" (there are: {})", name, names());
    bring_up(at->second);
    if (at->second.module) return at->second.module;
    if (at->second.unloaded) return fail(ENOENT, "provider \"{}\" was unloaded", name);
    return fail(EINVAL, "{}", at->second.problem);
}

Result<std::shared_ptr<const Module>> Registry::load(const std::string& path) {
    std::lock_guard lock(mutex_);
    look();
    Stamp stamp = stamp_of(path);
    auto module = TRY(Module::load(path, ledger_));
    Entry& entry = entries_[module->name()];
    if (entry.module) entry.older.push_back(entry.module);
    entry.path = path;
    entry.stamp = stamp;
    entry.module = module;
    entry.problem.clear();
    entry.unloaded = false;
    return module;
}

Result<std::shared_ptr<const Module>> Registry::reload(const std::string& name) {
    {
        std::lock_guard lock(mutex_);
        look();
        if (auto at = entries_.find(name); at != entries_.end()) {
            at->second.unloaded = false;
            at->second.problem.clear();
            if (at->second.stamp != stamp_of(at->second.path)) at->second.stamp = {};
        }
    }
    auto module = TRY(for_name(name));
    std::lock_guard lock(mutex_);
    const Entry& entry = entries_.find(name)->second;
    if (!entry.problem.empty()) return fail(EINVAL, "{}; the build before it stays", entry.problem);
    return module;
}

Result<void> Registry::unload(const std::string& name) {
    std::lock_guard lock(mutex_);
    look();
    auto at = entries_.find(name);
    if (at == entries_.end()) return fail(ENOENT, "there is no provider \"{}\" (there are: {})", name, names());
    if (at->second.module) at->second.older.push_back(at->second.module);
    at->second.module = nullptr;
    at->second.unloaded = true;
    return {};
}

Result<void> Registry::set(std::string_view setting) {
    size_t dot = setting.find('.'), equals = setting.find('=');
    if (dot == std::string_view::npos || dot == 0 || equals == std::string_view::npos || equals <= dot + 1)
        return fail(EINVAL, "\"{}\": is not NAME.KEY=VALUE", setting.substr(0, equals));
    std::lock_guard lock(mutex_);
    settings_[std::string(setting.substr(0, dot))].emplace_back(setting.substr(dot + 1, equals - dot - 1), setting.substr(equals + 1));
    return {};
}

ProviderOptions Registry::settings_of(const std::string& provider) {
    std::lock_guard lock(mutex_);
    auto at = settings_.find(provider);
    return at == settings_.end() ? ProviderOptions() : at->second;
}

std::vector<Registry::Found> Registry::all() {
    std::lock_guard lock(mutex_);
    look();
    std::vector<Found> found;
    for (auto& [name, entry] : entries_) {
        bring_up(entry);
        std::erase_if(entry.older, [](const auto& module) { return module.expired(); });
        std::string problem = entry.unloaded ? "unloaded" : entry.problem;
        found.push_back({name, entry.path, problem, entry.module, entry.module ? entry.module.use_count() - 1 : 0, entry.older.size()});
        if (entry.module) --found.back().users;  // the copy just made
    }
    return found;
}

}  // namespace hyper
