// SPDX-License-Identifier: Apache-2.0
#include "providers/ledger.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "blockengine/base/bytes.h"
#include "blockengine/base/log.h"
#include "blockengine/base/unique_fd.h"

namespace hyper {

namespace {

namespace fs = std::filesystem;

// Field 22 of /proc/PID/stat, in clock ticks since boot; 0 where there is no such process.
uint64_t start_of_process(int64_t pid) {
    std::ifstream file(fmt::format("/proc/{}/stat", pid));
    std::stringstream text;
    text << file.rdbuf();
    std::string line = text.str();
    // The second field is a name in parentheses, which may hold anything.
    size_t at = line.rfind(')');
    if (at == std::string::npos) return 0;
    std::istringstream fields(line.substr(at + 1));
    std::string field;
    for (int number = 3; number <= 22; ++number) fields >> field;
    uint64_t ticks = 0;
    std::from_chars(field.data(), field.data() + field.size(), ticks);
    return ticks;
}

Result<void> write_durably(int folder_fd, const std::string& folder, const std::string& name, const std::string& text) {
    std::string fresh = "." + name;
    auto failed = [&](const char* what) {
        int why = errno;
        ::unlinkat(folder_fd, fresh.c_str(), 0);
        return fail(why, "ledger {}: {} {}: {}", folder, what, name, errno_text(why));
    };
    UniqueFd file(::openat(folder_fd, fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (file.get() < 0) return failed("make");
    if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) return failed("write");
    if (::fsync(file.get()) != 0) return failed("sync");
    if (::renameat(folder_fd, fresh.c_str(), folder_fd, name.c_str()) != 0) return failed("rename");
    if (::fsync(folder_fd) != 0) return failed("sync the folder of");
    return {};
}

std::string name_of(uint64_t entry) { return fmt::format("{}-{}", ::getpid(), entry); }

}  // namespace

std::string unique_text() {
    static constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz234567";
    std::array<unsigned char, 26> bytes;
    size_t got = 0;
    while (got < bytes.size()) {
        ssize_t more = ::getrandom(bytes.data() + got, bytes.size() - got, 0);
        if (more > 0) got += static_cast<size_t>(more);
    }
    std::string text;
    for (unsigned char byte : bytes) text += letters[byte % letters.size()];
    return text;
}

Result<uint64_t> Ledger::note(const std::string& provider, const std::string& where, const std::string& kind, const std::string& id) {
    static std::atomic<uint64_t> next{1};
    static const uint64_t started = start_of_process(::getpid());
    std::error_code error;
    fs::create_directories(folder_, error);
    UniqueFd folder(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder.get() < 0) return fail(errno, "ledger {}: open: {}", folder_, errno_text(errno));
    int64_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    nlohmann::ordered_json json{{"provider", provider}, {"where", where}, {"kind", kind}, {"id", id}, {"time", now}, {"pid", ::getpid()},
                                {"pid-started", started}};
    std::string text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    // A process of our number may have been here before.
    for (;;) {
        uint64_t entry = next++;
        if (::faccessat(folder.get(), name_of(entry).c_str(), F_OK, 0) == 0) continue;
        auto written = write_durably(folder.get(), folder_, name_of(entry), text);
        if (written) return entry;
        if (written.error().code != EEXIST) return tl::unexpected(written.error());
    }
}

void Ledger::forget(uint64_t entry) { ::unlink((fs::path(folder_) / name_of(entry)).c_str()); }

void Ledger::forget(const LedgerEntry& entry) { ::unlink((fs::path(folder_) / entry.number).c_str()); }

Result<std::vector<LedgerEntry>> Ledger::entries() const {
    std::vector<LedgerEntry> found;
    std::error_code error;
    if (!fs::exists(folder_, error)) return found;
    for (fs::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
        std::string name = at->path().filename().string();
        if (name.starts_with('.')) continue;  // never finished, so the thing was not made
        std::ifstream file(at->path());
        auto json = nlohmann::json::parse(file, nullptr, false);
        auto text = [&](const char* key) { return json[key].is_string() ? json[key].get<std::string>() : std::string(); };
        auto number = [&](const char* key) { return json[key].is_number_integer() ? json[key].get<int64_t>() : int64_t{0}; };
        if (!json.is_object() || text("provider").empty() || text("kind").empty()) {
            log_warning("ledger {}: {}: is no entry; left alone", folder_, name);
            continue;
        }
        found.push_back({name, text("provider"), text("where"), text("kind"), text("id"), number("time"), number("pid"),
                         static_cast<uint64_t>(number("pid-started"))});
    }
    if (error) return fail(error.value(), "ledger {}: {}", folder_, errno_text(error.value()));
    std::sort(found.begin(), found.end(),
              [](const LedgerEntry& a, const LedgerEntry& b) { return std::tie(a.time_s, a.number) < std::tie(b.time_s, b.number); });
    return found;
}

bool Ledger::orphaned(const LedgerEntry& entry) {
    return entry.pid <= 0 || entry.pid_started == 0 || start_of_process(entry.pid) != entry.pid_started;
}

}  // namespace hyper
