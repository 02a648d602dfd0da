// SPDX-License-Identifier: Apache-2.0
// A trace of requests as a text file.
//
//     hypernbd-trace 1                                the first line; 1 is the version
//     # ...                                           a comment
//     START CLIENT COMMAND FLAGS OFFSET LENGTH ERRNO LATENCY EXPORT
//     left-out N                                      N requests that finished about here could not
//     be kept
//
// One space stands between fields. START is when the request came, in ns since the trace began;
// LATENCY the ns until its reply. CLIENT is the server's number of the client. COMMAND is a name as
// in stats.h; FLAGS are NBD's command flags. OFFSET and LENGTH are bytes, ERRNO is Linux's, 0 for
// success. Numbers are decimal. EXPORT is the name, in which bytes up to 0x20, 0x7f and "%" are
// written %XX; it may be empty. Lines come as requests finish on one event loop, and loops take
// turns, so START is not in order.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "blockengine/base/result.h"
#include "nbdserver/watch/stats.h"

namespace hyper::watch {

struct TracedRequest {
    uint64_t start_ns = 0, latency_ns = 0;
    uint64_t client_id = 0;
    uint64_t offset = 0, length = 0;
    int error = 0;  // errno
    uint16_t flags = 0;
    Command command = Command::read;
};

// What a trace begins with.
std::string trace_head();
// A line with its newline; `export_text` is escaped.
void append_trace_line(std::string& to, const TracedRequest& request, std::string_view export_text);
void append_left_out_line(std::string& to, uint64_t requests);
std::string escape_export(std::string_view name);

// Reads a trace request by request, in constant memory. Bound to one thread.
class TraceReader {
  public:
    // Errors: EINVAL for a file that is no trace, or of another version; what the system says.
    static Result<TraceReader> open(const std::string& path);

    struct Entry {
        TracedRequest request;
        std::string export_name;
    };
    // nullopt at the end. Errors: EINVAL with the line's number.
    Result<std::optional<Entry>> next();
    // So far.
    uint64_t left_out() const { return left_out_; }

  private:
    struct Close {
        void operator()(FILE* file) const { std::fclose(file); }
    };
    TraceReader(std::string path, FILE* file) : path_(std::move(path)), file_(file) {}
    // Without its newline; nullopt at the end.
    Result<std::optional<std::string_view>> next_line();

    std::string path_;
    std::unique_ptr<FILE, Close> file_;
    std::unique_ptr<char[]> line_;
    uint64_t line_number_ = 0, left_out_ = 0;
};

}  // namespace hyper::watch
