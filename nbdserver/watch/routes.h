// SPDX-License-Identifier: Apache-2.0
// What the control socket answers, apart from HTTP itself. All but /metrics is JSON.
//
//     GET    /v1/exports               {"exports": [EXPORT...]}      offered or opened since the
//     start, by name GET    /v1/exports/NAME          EXPORT and its "clients-open": [CLIENT...]
//     DELETE /v1/exports/NAME/clients  {"closed": N}                 asks all clients of the export
//     to end GET    /v1/clients               {"clients": [CLIENT...]}      by id DELETE
//     /v1/clients/ID            {"closed": 1} GET    /metrics                  Prometheus text
//     POST   /v1/providers/NAME/reload  {"name", "version"}       looks at the module's file anew
//     POST   /v1/providers/FILE/load    {"name", "version"}       uses another file as the module of its name
//     DELETE /v1/providers/NAME         {"name"}                  nothing new uses it
//     POST   /v1/commits/FOLDER         {"commit": NUMBER}        begins to make a generation of a volume that clients have open here
//     GET    /v1/commits/NUMBER         {"commit", "running", "done-bytes", "generation", "error"}
//                                       the generation is null until it is there, and where nothing was written; the error where there is none
//
//     EXPORT      {"name", "offered", "size", "description", "read-only", "clients", "statistics"};
//     the size, the
//                 description and read-only only while it is offered
//     CLIENT      {"id", "peer", "identity", "export", "since", "tls", "writable",
//     "bytes-in-flight", "statistics"};
//                 since is in RFC 3339, UTC
//     STATISTICS  {"read": TOTALS, ..., "total": TOTALS} with the commands that were used; the total's bytes are those read and written
//     TOTALS      {"requests", "bytes", "errors", "latency-ns": {"mean", "p50", "p90", "p99"},
//                 "latency-histogram": [[upper bound in ns, requests]...]}; buckets without
//                 requests are left out, and the last one's bound is null
//
// Errors are {"error": "..."}: 404 where there is no such thing, 405 for another method, 503 where too many commits are under way. Names that
// are not UTF-8 are shown with replacement characters; in a path any byte can be named by %XX.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "nbdserver/watch/commits.h"
#include "nbdserver/watch/registry.h"

namespace hyper::watch {

// An export as a client would find it in the list.
struct Offered {
    std::string name;
    uint64_t size_bytes = 0;
    std::string description;
    bool read_only = true;
};
// Thread-safe; called for each request that needs it.
using OfferedList = std::function<std::vector<Offered>()>;

struct Answer {
    int status = 200;
    std::string content_type, body;
    std::string allow;  // the methods, for 405
};

// `path` is decoded. Thread-safe.
Answer answer_to(const std::string& method, const std::string& path, Registry& registry,
                 const OfferedList& offered, Commits& commits);
Answer error_answer(int status, const std::string& message);

}  // namespace hyper::watch
