// SPDX-License-Identifier: Apache-2.0
// What a job's runs said: a file a run, LOGS/JOB/RUN.log, of which the newest bytes are kept. Lines have the time before them.
#pragma once

#include <string>
#include <string_view>

#include "blockengine/base/instant.h"
#include "blockengine/base/unique_fd.h"

namespace hyper::hyperd {

// Bound to one thread; read() and remove() are for any.
class RunLog {
  public:
    // Of the file in which lines are written, and of the older one that is kept beside it.
    static constexpr size_t half_bytes_max = 128 << 10;
    static constexpr size_t runs_kept = 30;  // of a job

    // Goes on with that of an earlier attempt. Where it cannot be written, that is logged once and lines go nowhere: a full disk for logs
    // stops no sync. The logs of older runs beyond runs_kept are removed.
    static RunLog open(const std::string& folder, const std::string& job, const std::string& period);
    RunLog(RunLog&&) = default;

    void add(Instant now, std::string_view line);

    // What is kept of a run; empty where nothing is.
    static std::string read(const std::string& folder, const std::string& job, const std::string& period);
    static void remove(const std::string& folder, const std::string& job);

  private:
    RunLog(std::string path, UniqueFd fd, size_t bytes) : path_(std::move(path)), fd_(std::move(fd)), bytes_(bytes) {}
    std::string path_;
    UniqueFd fd_;
    size_t bytes_ = 0;
};

}  // namespace hyper::hyperd
