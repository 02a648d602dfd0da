// SPDX-License-Identifier: Apache-2.0
// The strict checkers: everything that a format's specification demands of a file, wherever other readers look away.
// They share nothing with the writers (views) and readers (images) of a format but its on-disk structs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "blockengine/engine.h"
#include "blockengine/source.h"
#include "convert/format.h"

namespace hyper {

struct Finding {
    enum class Severity { warning, error };
    Severity severity;
    std::string field;    // "L2 table 3, entry 17"
    std::string message;  // what is wrong with it, with the value
};

// Bound to one thread.
class CheckReport {
  public:
    // Findings kept; more are only counted.
    static constexpr size_t findings_max = 200;

    template <class... Args>
    void error(std::string field, fmt::format_string<Args...> format, Args&&... args) {
        add({Finding::Severity::error, std::move(field), fmt::format(format, std::forward<Args>(args)...)});
    }
    template <class... Args>
    void warning(std::string field, fmt::format_string<Args...> format, Args&&... args) {
        add({Finding::Severity::warning, std::move(field), fmt::format(format, std::forward<Args>(args)...)});
    }

    const std::vector<Finding>& findings() const { return findings_; }
    uint64_t error_count() const { return error_count_; }
    uint64_t warning_count() const { return warning_count_; }

    // What was seen, for people.
    uint64_t virtual_bytes = 0;    // the disk's size
    uint64_t allocated_bytes = 0;  // of which stored
    uint64_t file_bytes = 0;       // the image file's size

  private:
    void add(Finding finding);

    std::vector<Finding> findings_;
    uint64_t error_count_ = 0, warning_count_ = 0;
};

// Reads the file under check through the engine, whatever it is made of: a FileSource or a view.
class CheckedFile {
  public:
    CheckedFile(Engine& engine, const Source& source) : engine_(engine), source_(source) {}
    uint64_t size_bytes() const { return source_.size_bytes(); }
    // Errors: EINVAL past the end; EIO.
    Result<void> read(uint64_t offset, std::span<std::byte> buffer) const {
        return engine_.read(source_, offset, buffer);
    }
    const Source& source() const { return source_; }

  private:
    Engine& engine_;
    const Source& source_;
};

// Findings are not errors of the call; the call fails (EIO) only where the file cannot be read.
// For raw there is nothing to check. Time is bounded by what the file's own tables take.
Result<CheckReport> check_image(Engine& engine, const Source& file, Format format);

}  // namespace hyper
