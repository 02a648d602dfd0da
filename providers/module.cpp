// SPDX-License-Identifier: Apache-2.0
#include "providers/module.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "blockengine/base/log.h"
#include "providers/callers.h"
#include "providers/failure.h"

namespace hyper {

namespace {

constexpr auto self_check_limit = std::chrono::seconds(10);
constexpr off_t module_bytes_max = 256 << 20;

Result<UniqueFd> copy_into_memory(int fd, const std::string& path) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) return fail(errno, "{}: stat: {}", path, errno_text(errno));
    if (!S_ISREG(status.st_mode)) return fail(EINVAL, "{}: is no file", path);
    if (status.st_size > module_bytes_max) return fail(EFBIG, "{}: {} bytes are too many for a provider", path, status.st_size);
    UniqueFd copy(::memfd_create("hyper-provider", MFD_CLOEXEC));
    if (!copy) return fail(errno, "{}: make a copy in memory: {}", path, errno_text(errno));
    off_t at = 0;
    while (at < status.st_size) {
        ssize_t sent = ::sendfile(copy.get(), fd, &at, static_cast<size_t>(status.st_size - at));
        if (sent < 0) return fail(errno, "{}: read: {}", path, errno_text(errno));
        if (sent == 0) return fail(EINVAL, "{}: is shorter than it was; is it being written?", path);
    }
    return copy;
}

// The loader maps what the program headers promise without a look at the file's size, and what is not there then ends the process (SIGBUS).
// So a file that was cut off is refused first: its segments, and the section table that linkers write last, lie inside it. (elf(5))
Result<void> look_at_size(int fd, const std::string& path) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) return fail(errno, "provider {}: stat: {}", path, errno_text(errno));
    uint64_t size = static_cast<uint64_t>(status.st_size);
    auto is_inside = [size](uint64_t offset, uint64_t bytes) { return offset <= size && bytes <= size - offset; };
    ElfW(Ehdr) header{};
    if (::pread(fd, &header, sizeof header, 0) != ssize_t{sizeof header} || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return fail(EINVAL, "provider {}: cannot be loaded: it is no ELF file", path);
    std::vector<ElfW(Phdr)> segments(header.e_phnum);
    size_t bytes = segments.size() * sizeof(ElfW(Phdr));
    bool is_whole = header.e_phentsize == sizeof(ElfW(Phdr)) && is_inside(header.e_phoff, bytes) &&
                    ::pread(fd, segments.data(), bytes, static_cast<off_t>(header.e_phoff)) == static_cast<ssize_t>(bytes) &&
                    is_inside(header.e_shoff, uint64_t{header.e_shnum} * header.e_shentsize);
    for (const ElfW(Phdr)& segment : segments) is_whole = is_whole && is_inside(segment.p_offset, segment.p_filesz);
    if (!is_whole) return fail(EINVAL, "provider {}: cannot be loaded: the file is cut off; is it being written?", path);
    return {};
}

bool is_word_of(std::string_view word, std::string_view words) {
    while (!words.empty()) {
        size_t end = std::min(words.find(' '), words.size());
        if (words.substr(0, end) == word) return true;
        words.remove_prefix(std::min(end + 1, words.size()));
    }
    return false;
}

}  // namespace

Module::Module(std::string path, Ledger& ledger) : path_(std::move(path)), ledger_(ledger) {
    host_.module = this;
    host_.host.size = sizeof host_.host;
    host_.host.log = &Module::log;
    host_.host.note = &Module::note;
    host_.host.forget = [](const hyper_host* host, uint64_t entry) { module_of(host).ledger_.forget(entry); };
    host_.host.unique = [](const hyper_host*, char text[33]) { std::snprintf(text, 33, "%s", unique_text().c_str()); };
}

Module::~Module() {
    if (library_ != nullptr) ::dlclose(library_);
}

void Module::log(const hyper_host* host, hyper_log_level level, const char* message) {
    LogLevel ours = level >= HYPER_LOG_ERROR ? LogLevel::error : level == HYPER_LOG_WARNING ? LogLevel::warning
                    : level == HYPER_LOG_INFO ? LogLevel::info : LogLevel::debug;
    const char* name = module_of(host).table_.name;
    log_line(ours, fmt::format("provider {}: {}", name == nullptr ? "" : name, message));
}

hyper_failure Module::note(const hyper_host* host, const char* where, const char* kind, const char* id, uint64_t* entry, hyper_error* error) {
    const Module& module = module_of(host);
    auto noted = module.ledger_.note(module.table_.name, where, kind, id);
    if (noted) {
        *entry = *noted;
        return HYPER_OK;
    }
    error->retry_after_ms = 0;
    std::snprintf(error->message, sizeof error->message, "%s", noted.error().message.c_str());
    return HYPER_FATAL;
}

Result<std::shared_ptr<const Module>> Module::load(const std::string& path, Ledger& ledger) {
    UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file) return fail(errno, "provider {}: open: {}", path, errno_text(errno));
    std::shared_ptr<Module> module(new Module(path, ledger));
    TRY(module->open(file.get()));
    if (module->table_.self_check == nullptr) return module;
    struct Verdict {
        hyper_failure kind = HYPER_OK;
        hyper_error error{};
    };
    auto verdict = std::make_shared<Verdict>();
    verdict->error.size = sizeof verdict->error;
    bool returned = TRY(Callers::instance().run(Callers::Clock::now() + self_check_limit, [module, verdict] {
        verdict->kind = module->table_.self_check(module->host(), &verdict->error);
    }));
    if (!returned) return fail(EINVAL, "provider {}: its own check did not end within {} s", path, self_check_limit.count());
    if (verdict->kind != HYPER_OK) {
        Error error = error_of_failure(verdict->kind, "provider " + path, "its own check failed", verdict->error);
        return fail(EINVAL, "{}", error.message);
    }
    return module;
}

Result<void> Module::open(int file_fd) {
    copy_ = TRY(copy_into_memory(file_fd, path_));
    TRY(look_at_size(copy_.get(), path_));
    library_ = ::dlopen(fmt::format("/proc/self/fd/{}", copy_.get()).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library_ == nullptr) return fail(EINVAL, "provider {}: cannot be loaded: {}", path_, ::dlerror());
    auto entry = reinterpret_cast<hyper_provider_entry_function>(::dlsym(library_, "hyper_provider_entry"));
    if (entry == nullptr) return fail(EINVAL, "provider {}: has no hyper_provider_entry(), so it is none", path_);
    return look_at_table(entry());
}

Result<void> Module::look_at_table(const hyper_provider* given) {
    if (given == nullptr) return fail(EINVAL, "provider {}: refuses to work", path_);
    if (given->size < offsetof(hyper_provider, name)) return fail(EINVAL, "provider {}: its table has {} bytes", path_, given->size);
    if (given->abi != HYPER_PROVIDER_ABI)
        return fail(EINVAL, "provider {}: was built for ABI {}, and this is {}; build it against the installed hyper-provider.h", path_,
                    given->abi, HYPER_PROVIDER_ABI);
    std::memcpy(&table_, given, std::min(given->size, sizeof table_));
    struct Required {
        const char* name;
        bool there;
    };
    for (const Required& required : {Required{"name", table_.name != nullptr && *table_.name != 0},
                                     Required{"version", table_.version != nullptr},
                                     Required{"description", table_.description != nullptr},
                                     Required{"schemes", table_.schemes != nullptr && *table_.schemes != 0},
                                     Required{"options", table_.options != nullptr},
                                     Required{"open", table_.open != nullptr}, Required{"close", table_.close != nullptr},
                                     Required{"list", table_.list != nullptr},
                                     Required{"take_snapshot", table_.take_snapshot != nullptr},
                                     Required{"describe", table_.describe != nullptr}, Required{"read", table_.read != nullptr},
                                     Required{"release", table_.release != nullptr}})
        if (!required.there) return fail(EINVAL, "provider {}: its table lacks {}", path_, required.name);
    return {};
}

bool Module::takes(std::string_view scheme) const { return is_word_of(scheme, table_.schemes); }

}  // namespace hyper
