// SPDX-License-Identifier: Apache-2.0
// For tests with real servers: the provider and uploads by themselves.
//
//     s3_tool list|check URI [KEY=VALUE...]
//     s3_tool read URI [KEY=VALUE...]            the disk, to standard output
//     s3_tool range URI OFFSET LENGTH [KEY=VALUE...]
//     s3_tool hold URI [KEY=VALUE...]            takes a snapshot, says so, waits for a line, reads the first byte
//     s3_tool upload FILE URI [KEY=VALUE...]     UPLOAD_ID=... goes on with one; the id, and how much was sent, to standard output;
//                                                PARTS=N ends the process with SIGKILL after so many parts
//     s3_tool pending|abort URI [KEY=VALUE...]   abort: all that are pending
//     s3_tool presign URI [KEY=VALUE...]
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <future>
#include <iostream>

#include "blockengine/base/bytes.h"
#include "providers/s3/connection.h"
#include "providers/s3/upload.h"

namespace hyper::s3 {
namespace {

constexpr int64_t minute_ns = 60'000'000'000;
constexpr size_t chunk_bytes = 1024 * 1024;

const char* const kinds[] = {"ok", "retry later", "log in again", "snapshot gone", "tracking lost", "quota", "not allowed", "bad configuration", "fatal"};

int say(const Failure& failure) {
    std::cerr << kinds[failure.kind] << ": " << failure.message << std::endl;
    return 1;
}

struct Read : hyper_read {
    std::promise<Outcome<void>> ended;
};
Outcome<void> read_some(provider::Snapshot& snapshot, uint64_t offset, std::span<char> buffer) {
    Read read{};
    static_cast<hyper_read&>(read) = {sizeof(hyper_read), 0, offset, buffer.size(), buffer.data(), monotonic_ns() + minute_ns,
                                      [](hyper_read* mine, hyper_failure failure, const hyper_error* error) {
                                          auto& ended = static_cast<Read*>(mine)->ended;
                                          if (failure == HYPER_OK) return ended.set_value({});
                                          ended.set_value(failed(failure, error->message, error->retry_after_ms));
                                      }};
    snapshot.read(read);
    return read.ended.get_future().get();
}

int read_disk(const std::string& command, const std::string& uri, const provider::Options& options, uint64_t offset, uint64_t length) {
    hyper_host host{};
    host.size = sizeof host;
    host.log = [](const hyper_host*, hyper_log_level, const char* line) { std::cerr << line << std::endl; };
    hyper_call call{sizeof(hyper_call), monotonic_ns() + minute_ns, nullptr};
    auto connection = ObjectStore::open(provider::Host(&host), call, uri, options);
    if (!connection) return say(connection.error());
    if (command == "list") {
        auto listed = (*connection)->list(call, [](const provider::FoundDisk& disk) {
            std::cout << disk.name << std::endl;
            return true;
        });
        return listed ? 0 : say(listed.error());
    }
    if (command == "check") {
        auto finding = [](hyper_verdict verdict, const std::string& what, const std::string& text) { std::cout << verdict << " " << what << ": " << text << std::endl; };
        auto checked = (*connection)->check(call, (*connection)->disk(), finding);
        return checked ? 0 : say(checked.error());
    }
    auto snapshot = (*connection)->take_snapshot(call, {{(*connection)->disk()}, false, {""}});
    if (!snapshot) return say(snapshot.error());
    if (command == "hold") {
        std::cout << "held" << std::endl;
        std::string line;
        std::getline(std::cin, line);
        length = 1;
    }
    uint64_t end = command == "read" ? (*snapshot)->describe(0).size_bytes : offset + length;
    std::vector<char> buffer(chunk_bytes);
    for (; offset < end; offset += buffer.size()) {
        buffer.resize(std::min<uint64_t>(chunk_bytes, end - offset));
        if (auto read = read_some(**snapshot, offset, buffer); !read) return say(read.error());
        std::cout.write(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    }
    return 0;
}

int upload(const std::string& file, const std::string& uri, const provider::Options& options) {
    int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat about;
    if (fd < 0 || fstat(fd, &about) != 0) return say({HYPER_BAD_CONFIGURATION, file, 0});
    auto uploader = Uploader::open(uri, options);
    if (!uploader) return say(uploader.error());
    UploadContent content;
    content.size_bytes = static_cast<uint64_t>(about.st_size);
    content.read = [&](uint64_t offset, std::span<std::byte> buffer) -> Outcome<void> {
        if (pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset)) == static_cast<ssize_t>(buffer.size())) return {};
        return failed(HYPER_FATAL, file + ": cannot be read");
    };
    int parts = std::atoi(environment("PARTS").value_or("0").c_str());
    UploadHooks hooks;
    hooks.begun = [](const std::string& id) { std::cout << id << std::endl; };
    hooks.progress = [&](uint64_t) {
        if (parts > 0 && --parts == 0) raise(SIGKILL);
    };
    auto done = (*uploader)->upload(content, hooks, environment("UPLOAD_ID").value_or(""));
    if (!done) return say(done.error());
    std::cout << "sent " << done->sent_bytes << " etag " << done->etag << std::endl;
    return 0;
}

int pending(bool abort, const std::string& uri, const provider::Options& options) {
    auto uploader = Uploader::open(uri, options);
    if (!uploader) return say(uploader.error());
    auto found = (*uploader)->pending();
    if (!found) return say(found.error());
    for (const PendingUpload& upload : *found) {
        std::cout << upload.id << std::endl;
        if (!abort) continue;
        if (auto done = (*uploader)->abort(upload.id); !done) return say(done.error());
    }
    return 0;
}

int presign(const std::string& uri, const provider::Options& options) {
    auto place = Place::parse(uri, options);
    if (!place) return say(place.error());
    Target target = place->object(place->disk());
    Credentials keys{environment("AWS_ACCESS_KEY_ID").value(), environment("AWS_SECRET_ACCESS_KEY").value(), ""};
    target.raw_query = presigned_query({"GET", target.host, target.path, {}, {}, ""}, keys, place->region(), time(nullptr), 600);
    std::cout << target.url() << std::endl;
    return 0;
}

int run(std::vector<std::string> words) {
    auto take = [&] {
        std::string word = words.empty() ? "" : words.front();
        if (!words.empty()) words.erase(words.begin());
        return word;
    };
    std::string command = take(), file = command == "upload" ? take() : "", uri = take();
    uint64_t offset = command == "range" ? std::stoull(take()) : 0, length = command == "range" ? std::stoull(take()) : 0;
    provider::Options options;
    for (const std::string& word : words) options.emplace_back(word.substr(0, word.find('=')), word.substr(word.find('=') + 1));
    if (command == "upload") return upload(file, uri, options);
    if (command == "pending" || command == "abort") return pending(command == "abort", uri, options);
    if (command == "presign") return presign(uri, options);
    return read_disk(command, uri, options, offset, length);
}

}  // namespace
}  // namespace hyper::s3

int main(int count, char** words) { return hyper::s3::run({words + 1, words + count}); }
