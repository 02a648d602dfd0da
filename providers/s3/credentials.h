// SPDX-License-Identifier: Apache-2.0
// Where keys come from: never from a command line. Struct Credentials is in signing.h.
#pragma once

#include <string>

#include "providers/s3/answer.h"
#include "providers/s3/signing.h"

namespace hyper::s3 {

// In this order: `file`, where one is named; AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; the file AWS_SHARED_CREDENTIALS_FILE,
// else ~/.aws/credentials, in it the part AWS_PROFILE, else "default"; the role of the cloud instance that we run on, unless AWS_EC2_METADATA_DISABLED.
// Errors: HYPER_BAD_CONFIGURATION where something of that is there and wrong, HYPER_NOT_ALLOWED where there is none.
Outcome<Credentials> find_credentials(const std::string& file, Http& http, int64_t deadline_ns);

// Of a text as ~/.aws/credentials. Errors say `path`, and nothing of its content.
Outcome<Credentials> credentials_in(const std::string& text, const std::string& profile, const std::string& path);

}  // namespace hyper::s3
