// SPDX-License-Identifier: Apache-2.0
#include "providers/failure.h"

#include <cerrno>
#include <cstring>

namespace hyper {

std::string_view failure_name(hyper_failure kind) {
    switch (kind) {
        case HYPER_OK: return "no failure";
        case HYPER_RETRY_LATER: return "retry later";
        case HYPER_LOG_IN_AGAIN: return "log in again";
        case HYPER_SNAPSHOT_GONE: return "snapshot gone";
        case HYPER_TRACKING_LOST: return "change tracking lost";
        case HYPER_QUOTA: return "quota";
        case HYPER_NOT_ALLOWED: return "not allowed";
        case HYPER_BAD_CONFIGURATION: return "bad configuration";
        case HYPER_FATAL: break;
    }
    return "fatal";
}

int code_of_failure(hyper_failure kind) {
    switch (kind) {
        case HYPER_SNAPSHOT_GONE: return ESTALE;
        case HYPER_TRACKING_LOST: return ENODATA;
        case HYPER_QUOTA: return EDQUOT;
        case HYPER_NOT_ALLOWED: return EACCES;
        case HYPER_BAD_CONFIGURATION: return EINVAL;
        default: return EIO;
    }
}

Error error_of_failure(hyper_failure kind, std::string_view who, std::string_view what, const hyper_error& error) {
    std::string_view message(error.message, ::strnlen(error.message, sizeof error.message));
    return {code_of_failure(kind), fmt::format("{}: {}: {} ({})", who, what, message.empty() ? "no reason given" : message, failure_name(kind))};
}

}  // namespace hyper
