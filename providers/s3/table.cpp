// SPDX-License-Identifier: Apache-2.0
#include "providers/s3/connection.h"

namespace hyper::s3 {

namespace {

hyper_failure self_check(const hyper_host*, hyper_error* error) {
    std::string missing = Http::missing();
    if (missing.empty()) return HYPER_OK;
    provider::put(error, {HYPER_FATAL, "s3: " + missing});
    return HYPER_FATAL;
}

}  // namespace

const hyper_provider& provider_table() {
    static const hyper_provider table = provider::table<ObjectStore>(
        {.name = "s3",
         .version = HYPER_VERSION,
         .description = "disk images in S3-compatible object storage, and behind HTTP",
         .schemes = "s3 http https",
         .options = "endpoint region path-style credentials-file anonymous",
         .self_check = self_check});
    return table;
}

}  // namespace hyper::s3
