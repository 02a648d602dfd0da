// SPDX-License-Identifier: Apache-2.0
// Puts a disk, or an image of one, into a bucket: in parts, several at once, each checked by hash.
//
// Design note. The object appears when all of it is there, and not before: parts are kept by the server under the id of an upload, and made
// an object by one call at the end. What is under that id when we are killed stays, and costs, until the upload goes on or is aborted; who calls
// keeps the id (begun) for that. An upload that goes on reads and hashes all of the content again, and sends only the parts that the server does
// not have as they should be: so it does not matter whose parts those are, or whether the content has changed meanwhile.
// A part is good where the server's SHA-256 of it is ours, or its ETag is our MD5; besides, its signature covers its hash. A server that encrypts
// by keys of its own and keeps no SHA-256 shows neither, and then it is the signature alone. Parts are in memory while they are sent, 256 MiB of
// them at most, or a single one, which is larger for more than 2.4 TiB. Calls that may succeed later are tried again, with full jitter.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "providers/s3/client.h"
#include "providers/s3/documents.h"

namespace hyper::s3 {

struct UploadContent {
    uint64_t size_bytes = 0;
    // Fills all of the buffer. Called by several threads at once, and more than once for the same bytes.
    std::function<Outcome<void>(uint64_t offset, std::span<std::byte> buffer)> read;
};

// Each may be empty.
struct UploadHooks {
    // There is an upload with this id now, which costs until it is completed or aborted: to be kept before this returns.
    std::function<void(const std::string& upload_id)> begun;
    // So much of the content is there, checked. Never two calls at once.
    std::function<void(uint64_t bytes)> progress;
    // Whether to leave off; asked often, by any thread.
    std::function<bool()> stop;
};

struct Uploaded {
    std::string etag, version;  // version: empty where the bucket keeps none
    uint64_t sent_bytes = 0;    // the rest was there already
};

// How large all parts but the last are. 0: too large for 10,000 parts of 5 GiB.
uint64_t part_bytes_of(uint64_t size_bytes);

// Thread-safe.
class Uploader {
  public:
    // s3://BUCKET/KEY, with the provider's options.
    static Outcome<std::unique_ptr<Uploader>> open(const std::string& uri, const provider::Options& options);

    // With the id of an upload that was begun before, goes on with that; where it is not there any more, with a new one. On return the object is
    // there, of this size, made of these parts. On failure, and HYPER_RETRY_LATER where it was to stop, the upload stays.
    Outcome<Uploaded> upload(const UploadContent& content, const UploadHooks& hooks, const std::string& upload_id = "");

    // Uploads of this object that were begun, by whoever, and not ended.
    Outcome<std::vector<PendingUpload>> pending();
    // Throws away what is there of it; well also where there is none such.
    Outcome<void> abort(const std::string& upload_id);

  private:
    friend class UploadRun;
    Uploader(std::string uri, provider::Options options, std::shared_ptr<Client> client);

    std::shared_ptr<Client> client();
    // Sends it, again and again where that may help, and gives the answer with status 2xx. `query` and `target` are of the object, or of the bucket.
    Outcome<HttpAnswer> ask(Call call, const std::string& payload_hash, const std::string& what, const std::function<bool()>& stop);
    Outcome<HttpAnswer> ask_once(Call call, const std::string& payload_hash, const std::string& what, const std::function<bool()>& stop);
    Call call(const std::string& method, Parameters query);

    const std::string uri_;
    const provider::Options options_;
    std::mutex mutex_;
    std::shared_ptr<Client> client_;  // guarded by mutex_; another one after its credentials ended
};

}  // namespace hyper::s3
