// SPDX-License-Identifier: Apache-2.0
#include "blockengine/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>
#include <syslog.h>

#include <mutex>

#include "blockengine/base/line_budget.h"

namespace hyper {

namespace {

spdlog::level::level_enum to_spdlog(LogLevel level) {
    switch (level) {
        case LogLevel::debug: return spdlog::level::debug;
        case LogLevel::info: return spdlog::level::info;
        case LogLevel::warning: return spdlog::level::warn;
        case LogLevel::error: return spdlog::level::err;
    }
    return spdlog::level::err;
}

spdlog::logger& logger() {
    static auto instance = [] {
        auto made = spdlog::stderr_logger_mt("hyper");
        made->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l: %v");
        made->set_level(spdlog::level::warn);
        return made;
    }();
    return *instance;
}

}  // namespace

void set_log_level(LogLevel level) { logger().set_level(to_spdlog(level)); }

void log_to_syslog(const char* name) {
    auto sink = std::make_shared<spdlog::sinks::syslog_sink_mt>(name, LOG_PID, LOG_DAEMON, true);
    sink->set_pattern("%v");
    logger().sinks() = {sink};
}

void log_line(LogLevel level, std::string_view line) {
    if (level == LogLevel::warning) {
        static std::mutex mutex;
        static LineBudget budget;  // guarded by mutex
        std::lock_guard lock(mutex);
        if (!budget.take(std::chrono::steady_clock::now())) return;
        if (uint64_t left_out = budget.take_left_out(); left_out > 0)
            logger().warn("{} warnings before this one were left out: no more than {} a second are written", left_out, LineBudget::per_second);
    }
    logger().log(to_spdlog(level), "{}", line);
}

}  // namespace hyper
