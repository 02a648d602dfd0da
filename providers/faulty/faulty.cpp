// SPDX-License-Identifier: Apache-2.0
// The faulty provider: faulty:///path/to/file is that file as a disk, with the faults that its options ask for. To rehearse a migration, and to
// see what everything above does when a provider fails.
//
// What changed is told by the file's time: since a state of the same time and size nothing, since any other everything.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "providers/provider.h"

namespace hyper::faulty {

using provider::failed;
using provider::Failure;
using provider::Outcome;
using Clock = std::chrono::steady_clock;

namespace {

constexpr const char* options_known =
    "latency-ms errors-percent error retry-after-ms reads-per-second-max session-reads hang-percent gone-after-reads lose-tracking seed "
    "hang-calls companions";

struct Faults {
    uint64_t latency_ms = 0;
    uint64_t errors_percent = 0;
    hyper_failure error = HYPER_RETRY_LATER;
    uint64_t retry_after_ms = 0;
    uint64_t reads_per_second_max = 0;
    uint64_t session_reads = 0;  // then the session has expired; 0: never
    uint64_t hang_percent = 0;
    uint64_t gone_after_reads = 0;
    uint64_t lose_tracking = 0;
    uint64_t seed = 1;
    uint64_t hang_calls = 0;  // taking a snapshot never returns
    std::string companions;   // a folder of what is kept beside the disk
};

Outcome<hyper_failure> failure_of(const std::string& name) {
    for (auto [known, failure] : {std::pair("retry-later", HYPER_RETRY_LATER), std::pair("log-in-again", HYPER_LOG_IN_AGAIN),
                                  std::pair("snapshot-gone", HYPER_SNAPSHOT_GONE), std::pair("quota", HYPER_QUOTA),
                                  std::pair("not-allowed", HYPER_NOT_ALLOWED), std::pair("bad-configuration", HYPER_BAD_CONFIGURATION),
                                  std::pair("fatal", HYPER_FATAL)})
        if (name == known) return failure;
    return failed(HYPER_BAD_CONFIGURATION, "error \"" + name + "\" is not known");
}

Outcome<Faults> faults_of(const provider::Options& options) {
    Faults faults;
    for (const auto& [key, value] : options) {
        if (key == "error") {
            auto failure = failure_of(value);
            if (!failure) return tl::unexpected(failure.error());
            faults.error = *failure;
            continue;
        }
        if (key == "companions") {
            faults.companions = value;
            continue;
        }
        uint64_t* target = key == "latency-ms"             ? &faults.latency_ms
                           : key == "errors-percent"       ? &faults.errors_percent
                           : key == "retry-after-ms"       ? &faults.retry_after_ms
                           : key == "reads-per-second-max" ? &faults.reads_per_second_max
                           : key == "session-reads"        ? &faults.session_reads
                           : key == "hang-percent"         ? &faults.hang_percent
                           : key == "gone-after-reads"     ? &faults.gone_after_reads
                           : key == "lose-tracking"        ? &faults.lose_tracking
                           : key == "seed"                 ? &faults.seed
                           : key == "hang-calls"           ? &faults.hang_calls
                                                           : nullptr;
        auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), target == nullptr ? faults.seed : *target);
        if (target == nullptr || error != std::errc() || end != value.data() + value.size())
            return failed(HYPER_BAD_CONFIGURATION, "option " + key + "=" + value + ": no number, or not one of: " + options_known);
    }
    return faults;
}

class Snapshot : public provider::Snapshot {
  public:
    Snapshot(int fd, const struct stat& status, const std::string& path, const Faults& faults, const provider::Wish& wish)
        : fd_(fd), faults_(faults), draw_(faults.seed), since_(wish.since.empty() ? "" : wish.since[0]), thread_([this] { run(); }) {
        disk_.size_bytes = static_cast<uint64_t>(status.st_size);
        disk_.disk_id = "faulty:" + path;
        std::string state = std::to_string(status.st_size) + "-" + std::to_string(status.st_mtim.tv_sec) + "." +
                            std::to_string(status.st_mtim.tv_nsec);
        disk_.identity = disk_.disk_id + "@" + state;
        if (wish.track) disk_.change_id = state;
        state_ = state;
        disk_.consistency = HYPER_AT_REST;
    }
    ~Snapshot() override {
        {
            std::lock_guard lock(mutex_);
            stopping_ = true;
            changed_.notify_all();
        }
        thread_.join();
        for (auto& [time, read] : later_) provider::finish(*read, {HYPER_FATAL, "the snapshot was released"});
        for (hyper_read* read : hung_) provider::finish(*read, {HYPER_FATAL, "the snapshot was released"});
        ::close(fd_);
    }

    const provider::SnapshotDisk& describe(uint32_t) const override { return disk_; }

    void read(hyper_read& read) override {
        std::lock_guard lock(mutex_);
        later_.emplace(Clock::now() + std::chrono::milliseconds(faults_.latency_ms), &read);
        changed_.notify_all();
    }

    Outcome<std::vector<hyper_extent>> changed(const hyper_call&, uint32_t, uint64_t, uint64_t length, size_t) override {
        if (since_.empty()) return failed(HYPER_TRACKING_LOST, "there is nothing that it was to be compared with");
        if (faults_.lose_tracking != 0) return failed(HYPER_TRACKING_LOST, "it was asked to lose its tracking");
        return std::vector<hyper_extent>{{length, since_ == state_ ? 0u : uint32_t{HYPER_EXTENT_CHANGED}}};
    }
    Outcome<void> companions(const hyper_call&, const std::function<bool(const std::string&, std::string_view)>& found) override {
        std::error_code none;
        if (faults_.companions.empty()) return {};
        for (const auto& entry : std::filesystem::directory_iterator(faults_.companions, none)) {
            std::ifstream file(entry.path(), std::ios::binary);
            std::string bytes{std::istreambuf_iterator<char>(file), {}};
            if (!file || !found(entry.path().filename().string(), bytes)) break;
        }
        if (none) return failed(HYPER_BAD_CONFIGURATION, "companions " + faults_.companions + ": " + none.message());
        return {};
    }

  private:
    void run() {
        std::unique_lock lock(mutex_);
        while (!stopping_) {
            if (later_.empty()) {
                changed_.wait(lock);
            } else if (auto time = later_.begin()->first; time > Clock::now()) {
                changed_.wait_until(lock, time);
            } else {
                hyper_read& read = *later_.begin()->second;
                later_.erase(later_.begin());
                if (percent(faults_.hang_percent)) {
                    hung_.push_back(&read);
                    continue;
                }
                lock.unlock();
                answer(read);
                lock.lock();
            }
        }
    }

    bool percent(uint64_t of) { return of > 0 && draw_() % 100 < of; }

    // Of the thread.
    void answer(hyper_read& read) {
        ++reads_;
        if (faults_.gone_after_reads != 0 && reads_ > faults_.gone_after_reads)
            return provider::finish(read, {HYPER_SNAPSHOT_GONE, "it was asked to be gone after so many reads"});
        if (faults_.session_reads != 0 && reads_ > faults_.session_reads)
            return provider::finish(read, {HYPER_LOG_IN_AGAIN, "the session is good for so many reads"});
        if (faults_.reads_per_second_max != 0) {
            auto now = Clock::now();
            if (now - second_began_ >= std::chrono::seconds(1)) second_began_ = now, in_second_ = 0;
            if (++in_second_ > faults_.reads_per_second_max)
                return provider::finish(read, {HYPER_RETRY_LATER, "too many reads in this second",
                                               static_cast<uint32_t>(faults_.retry_after_ms)});
        }
        if (percent(faults_.errors_percent))
            return provider::finish(read, {faults_.error, "it was asked to fail", static_cast<uint32_t>(faults_.retry_after_ms)});
        auto* at = static_cast<char*>(read.buffer);
        for (size_t done = 0; done < read.length;) {
            ssize_t got = ::pread(fd_, at + done, read.length - done, static_cast<off_t>(read.offset + done));
            if (got <= 0) return provider::finish(read, {HYPER_FATAL, std::string("read: ") + (got == 0 ? "the file has shrunk" : ::strerror(errno))});
            done += static_cast<size_t>(got);
        }
        provider::finish(read);
    }

    const int fd_;
    const Faults faults_;
    provider::SnapshotDisk disk_;
    std::string state_;
    std::mt19937_64 draw_;  // of the thread, like the next three
    uint64_t reads_ = 0, in_second_ = 0;
    Clock::time_point second_began_{};
    const std::string since_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::multimap<Clock::time_point, hyper_read*> later_;  // guarded by mutex_
    std::vector<hyper_read*> hung_;                        // guarded by mutex_
    bool stopping_ = false;                                // guarded by mutex_
    std::thread thread_;
};

class Connection : public provider::Connection {
  public:
    static Outcome<std::unique_ptr<provider::Connection>> open(provider::Host, const hyper_call&, const std::string& uri,
                                                               const provider::Options& options) {
        auto faults = faults_of(options);
        if (!faults) return tl::unexpected(faults.error());
        auto made = std::make_unique<Connection>();
        made->faults_ = *faults;
        made->path_ = uri.substr(std::min(uri.find("://") + 3, uri.size()));
        if (made->path_.empty() || made->path_[0] != '/') return failed(HYPER_BAD_CONFIGURATION, uri + ": name a file: faulty:///path/to/file");
        return made;
    }
    const std::string& disk() const override { return path_; }
    Outcome<void> list(const hyper_call&, const std::function<bool(const provider::FoundDisk&)>& found) override {
        struct stat status {};
        if (::stat(path_.c_str(), &status) != 0) return failed(HYPER_BAD_CONFIGURATION, path_ + ": " + ::strerror(errno));
        found({path_, static_cast<uint64_t>(status.st_size), "a file, with faults", true});
        return {};
    }
    Outcome<void> check(const hyper_call&, const std::string&, const provider::Finding& finding) override {
        bool readable = ::access(path_.c_str(), R_OK) == 0;
        finding(readable ? HYPER_GOOD : HYPER_BAD, "file", readable ? "can be read" : ::strerror(errno));
        if (faults_.errors_percent + faults_.hang_percent > 0) finding(HYPER_DOUBTFUL, "faults", "some reads will fail or hang");
        return {};
    }
    Outcome<std::unique_ptr<provider::Snapshot>> take_snapshot(const hyper_call& call, const provider::Wish& wish) override {
        while (faults_.hang_calls != 0 && !call.cancelled(&call)) ::usleep(1000);
        int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
        struct stat status {};
        if (fd < 0 || ::fstat(fd, &status) != 0) return failed(HYPER_BAD_CONFIGURATION, path_ + ": " + ::strerror(errno));
        return std::make_unique<Snapshot>(fd, status, path_, faults_, wish);
    }

  private:
    Faults faults_;
    std::string path_;
};

}  // namespace

}  // namespace hyper::faulty

const hyper_provider* hyper_provider_entry() {
    static const hyper_provider table = hyper::provider::table<hyper::faulty::Connection>(
        {.name = "faulty",
         .version = HYPER_VERSION,
         .description = "a file as a disk, with the faults that are asked for",
         .schemes = "faulty",
         .options = hyper::faulty::options_known});
    return &table;
}
