// SPDX-License-Identifier: Apache-2.0
// The log: one line an event on standard error, by spdlog, which is included in log.cpp alone.
// Thread-safe. Nothing here may be handed a secret. Warnings are limited (line_budget.h), since who asks for what fails makes them.
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace hyper {

enum class LogLevel { debug, info, warning, error };

// Sets what is shown; the default is `warning`.
void set_log_level(LogLevel level);

// From now on lines go to the system log, under this name: for daemons, which have no standard error.
// To be called while no other thread logs.
void log_to_syslog(const char* name);

void log_line(LogLevel level, std::string_view line);

template <class... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
    log_line(LogLevel::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
    log_line(LogLevel::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
    log_line(LogLevel::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
    log_line(LogLevel::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace hyper
