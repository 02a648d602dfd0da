// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/run_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "blockengine/base/log.h"

namespace hyper::hyperd {

namespace fs = std::filesystem;

namespace {

// Periods hold spaces and colons; no two of them become one name, since each such character has its own.
std::string file_name(std::string_view period) {
    std::string name;
    for (unsigned char c : period) name += std::isalnum(c) || c == '-' || c == '.' ? std::string(1, static_cast<char>(c)) : fmt::format("_{:02x}", c);
    return name;
}

std::string path_of(const std::string& folder, const std::string& job, const std::string& period) {
    return folder + "/" + job + "/" + file_name(period) + ".log";
}

void remove_old_ones(const fs::path& folder) {
    std::error_code ignored;
    std::vector<std::pair<fs::file_time_type, fs::path>> logs;
    for (fs::directory_iterator at(folder, ignored), end; !ignored && at != end; at.increment(ignored))
        if (at->path().extension() == ".log") logs.emplace_back(at->last_write_time(ignored), at->path());
    if (logs.size() <= RunLog::runs_kept) return;
    std::ranges::sort(logs);
    logs.resize(logs.size() - RunLog::runs_kept);
    for (const auto& log : logs) {
        fs::remove(log.second, ignored);
        fs::remove(log.second.string() + ".old", ignored);
    }
}

std::string content_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

UniqueFd open_to_append(const std::string& path, int more = 0) {
    UniqueFd fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | more, 0600));
    if (!fd) log_warning("{}: write what the run says: {}", path, errno_text(errno));
    return fd;
}

}  // namespace

RunLog RunLog::open(const std::string& folder, const std::string& job, const std::string& period) {
    ::mkdir(folder.c_str(), 0700);
    ::mkdir((folder + "/" + job).c_str(), 0700);
    remove_old_ones(folder + "/" + job);
    std::string path = path_of(folder, job, period);
    UniqueFd fd = open_to_append(path);
    struct stat status {};
    size_t bytes = fd && ::fstat(fd.get(), &status) == 0 ? static_cast<size_t>(status.st_size) : 0;
    return {std::move(path), std::move(fd), bytes};
}

void RunLog::add(Instant now, std::string_view line) {
    if (!fd_) return;
    std::string text = fmt::format("{} {}\n", instant_text(now), line);
    if (bytes_ + text.size() > half_bytes_max) {
        std::error_code ignored;
        fs::rename(path_, path_ + ".old", ignored);
        fd_ = open_to_append(path_, O_TRUNC);
        bytes_ = 0;
    }
    if (fd_ && ::write(fd_.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size())) bytes_ += text.size();
}

std::string RunLog::read(const std::string& folder, const std::string& job, const std::string& period) {
    std::string path = path_of(folder, job, period);
    return content_of(path + ".old") + content_of(path);
}

void RunLog::remove(const std::string& folder, const std::string& job) {
    std::error_code ignored;
    fs::remove_all(fs::path(folder) / job, ignored);
}

}  // namespace hyper::hyperd
