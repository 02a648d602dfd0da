// SPDX-License-Identifier: Apache-2.0
// The XML documents of S3, by pugixml, which is included in documents.cpp alone and follows no entity.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "providers/s3/answer.h"

namespace hyper::s3 {

// What a server says went wrong; empty where it says nothing. Printable, and short.
struct ServerError {
    std::string code, message, region;
};
ServerError server_error(const std::string& text);

struct ListedObject {
    std::string key;
    uint64_t size_bytes;
};
struct Listing {
    std::vector<ListedObject> objects;
    std::string next;  // the continuation token; empty: this was the last page
};
Outcome<Listing> listing(const std::string& text);

struct Part {
    uint32_t number;
    uint64_t size_bytes;
    std::string etag, sha256;  // sha256: base64; empty where the server keeps none
};
struct PartListing {
    std::vector<Part> parts;
    uint32_t next = 0;  // part-number-marker of the next page; 0: this was the last
};
Outcome<PartListing> part_listing(const std::string& text);

struct PendingUpload {
    std::string key, id, initiated;
};
struct UploadListing {
    std::vector<PendingUpload> uploads;
    std::string next_key, next_id;  // empty: this was the last page
};
Outcome<UploadListing> upload_listing(const std::string& text);

// Of the answer that begins an upload.
Outcome<std::string> upload_id(const std::string& text);
// Of the answer that completes one, which is an error with status 200 at times.
struct Completed {
    ServerError error;
    std::string etag;
};
Outcome<Completed> completed(const std::string& text);

// The body that completes one.
std::string completion(const std::vector<Part>& parts);

}  // namespace hyper::s3
