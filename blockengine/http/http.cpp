// SPDX-License-Identifier: Apache-2.0
#include "blockengine/http/http.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <signal.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <future>
#include <mutex>
#include <thread>
#include <unordered_map>

namespace hyper {

namespace {

constexpr size_t header_count_max = 200, header_bytes_max = 64 * 1024;
constexpr long receive_bytes = 256 * 1024;

struct EasyEnd {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct ListEnd {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

struct Transfer {
    HttpRequest request;
    Http::Done done;
    HttpAnswer answer;
    std::unique_ptr<CURL, EasyEnd> easy;
    std::unique_ptr<curl_slist, ListEnd> headers;
    size_t header_bytes = 0;
    std::optional<bool> to_room;  // once it was asked
    bool enough = false;          // we ended it: what it is for has come
    char error[CURL_ERROR_SIZE] = {};
};

std::string_view trimmed(std::string_view text) {
    size_t start = text.find_first_not_of(" \t\r\n");
    if (start == text.npos) return {};
    return text.substr(start, text.find_last_not_of(" \t\r\n") - start + 1);
}

size_t take_header(char* data, size_t, size_t length, void* opaque) {
    auto& transfer = *static_cast<Transfer*>(opaque);
    std::string_view line(data, length);
    if (line.starts_with("HTTP/")) {  // of the last answer: those with 1xx come before it
        transfer.answer.headers.clear();
        return length;
    }
    transfer.header_bytes += length;
    size_t colon = line.find(':');
    if (transfer.header_bytes > header_bytes_max || transfer.answer.headers.size() == header_count_max) return 0;
    if (colon == line.npos) return length;
    std::string name(line.substr(0, colon));
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(tolower(c)); });
    transfer.answer.headers.emplace_back(std::move(name), trimmed(line.substr(colon + 1)));
    return length;
}

// Whether something else than the length is returned ends the transfer.
size_t take_body(char* data, size_t, size_t length, void* opaque) {
    auto& transfer = *static_cast<Transfer*>(opaque);
    HttpAnswer& answer = transfer.answer;
    if (!transfer.to_room) {
        long status = 0;
        curl_easy_getinfo(transfer.easy.get(), CURLINFO_RESPONSE_CODE, &status);
        answer.status = static_cast<int>(status);
        transfer.to_room = transfer.request.takes && transfer.request.takes(answer);
    }
    size_t room = *transfer.to_room ? transfer.request.room.size() - answer.filled : transfer.request.text_bytes_max - answer.text.size();
    size_t taken = std::min(length, room);
    if (*transfer.to_room) {
        std::memcpy(transfer.request.room.data() + answer.filled, data, taken);
        answer.filled += taken;
    } else {
        answer.text.append(data, taken);
        answer.text_cut = taken < length;
    }
    transfer.enough = taken < length;
    return taken;
}

int ask_cancelled(void* opaque, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<Transfer*>(opaque)->request.cancelled() ? 1 : 0;
}

// Of a failure's text what holds no query, where a signature may be.
std::string without_query(std::string text) { return text.substr(0, text.find('?')); }

HttpFailure failure_of(const Transfer& transfer, CURLcode code) {
    std::string text = without_query(transfer.error[0] != 0 ? transfer.error : curl_easy_strerror(code));
    switch (code) {
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_RESOLVE_PROXY:
        case CURLE_COULDNT_CONNECT:
        case CURLE_SEND_ERROR:
        case CURLE_RECV_ERROR:
        case CURLE_GOT_NOTHING:
        case CURLE_PARTIAL_FILE:
        case CURLE_OPERATION_TIMEDOUT:
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_WEIRD_SERVER_REPLY:
            return {HttpProblem::unreachable, text};
        case CURLE_ABORTED_BY_CALLBACK:
            return {HttpProblem::given_up, "the caller has stopped waiting"};
        case CURLE_PEER_FAILED_VERIFICATION:
            return {HttpProblem::untrusted, text + " (its certificate has to be good)"};
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_URL_MALFORMAT:
        case CURLE_UNSUPPORTED_PROTOCOL:
            return {HttpProblem::misconfigured, text};
        default:
            return {HttpProblem::internal, text};
    }
}

}  // namespace

int64_t monotonic_ns() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

std::string_view HttpAnswer::header(std::string_view name) const {
    for (const auto& [key, value] : headers)
        if (key == name) return value;
    return {};
}

// Everything but begin() and the constructor belongs to the thread.
class Http::Loop {
  public:
    Loop(CURLM* multi, std::string ca_file) : multi_(multi), ca_file_(std::move(ca_file)) {
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        thread_ = std::thread([this] { run(); });
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }
    ~Loop() {
        {
            std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        curl_multi_wakeup(multi_);
        thread_.join();
        curl_multi_cleanup(multi_);
        curl_global_cleanup();
    }

    void begin(std::unique_ptr<Transfer> transfer) {
        {
            std::lock_guard lock(mutex_);
            begun_.push_back(std::move(transfer));
        }
        curl_multi_wakeup(multi_);
    }

  private:
    void run() {
        for (;;) {
            std::vector<std::unique_ptr<Transfer>> begun;
            {
                std::lock_guard lock(mutex_);
                if (stopping_) break;
                begun.swap(begun_);
            }
            for (auto& transfer : begun) add(std::move(transfer));
            int running = 0;
            curl_multi_perform(multi_, &running);
            int left = 0;
            bool ended = false;
            while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
                if (message->msg != CURLMSG_DONE) continue;
                end(message->easy_handle, message->data.result);
                ended = true;
            }
            if (!ended) curl_multi_poll(multi_, nullptr, 0, 1000, nullptr);
        }
        while (!under_way_.empty()) end(under_way_.begin()->first, CURLE_ABORTED_BY_CALLBACK);
        for (auto& transfer : begun_) finish(*transfer, {HttpProblem::given_up, "the connection is being closed"});
    }

    void add(std::unique_ptr<Transfer> transfer) {
        int64_t left_ms = (transfer->request.deadline_ns - monotonic_ns()) / 1'000'000;
        if (left_ms <= 0) return finish(*transfer, {HttpProblem::unreachable, "its time was over before it began"});
        transfer->easy.reset(curl_easy_init());
        if (!transfer->easy) return finish(*transfer, {HttpProblem::internal, "libcurl: out of memory"});
        CURL* easy = transfer->easy.get();
        set_options(*transfer, left_ms);
        if (curl_multi_add_handle(multi_, easy) != CURLM_OK) return finish(*transfer, {HttpProblem::internal, "libcurl: out of memory"});
        under_way_.emplace(easy, std::move(transfer));
    }

    void set_options(Transfer& transfer, int64_t left_ms) {
        CURL* easy = transfer.easy.get();
        const HttpRequest& request = transfer.request;
        curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
        curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);  // a key may hold ".."
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
        curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, receive_bytes);
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.error);
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(left_ms));
        curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request.connect_ms_max));
        curl_easy_setopt(easy, CURLOPT_USERAGENT, "hyper/" HYPER_VERSION);
        if (request.direct) curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
        if (!ca_file_.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file_.c_str());
        if (!request.basic.empty()) {
            curl_easy_setopt(easy, CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BASIC));
            curl_easy_setopt(easy, CURLOPT_USERPWD, request.basic.c_str());
        }
        if (request.cancelled) {
            curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
            curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, ask_cancelled);
            curl_easy_setopt(easy, CURLOPT_XFERINFODATA, &transfer);
        }
        curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
        curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
        auto add_header = [&](const std::string& line) { transfer.headers.reset(curl_slist_append(transfer.headers.release(), line.c_str())); };
        for (const auto& [name, value] : request.headers) add_header(value.empty() ? name + ";" : name + ": " + value);
        if (request.method == "PUT" || request.method == "POST") {
            curl_easy_setopt(easy, CURLOPT_POST, 1L);
            curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
            curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.empty() ? "" : reinterpret_cast<const char*>(request.body.data()));
            add_header("Expect:");
            if (std::none_of(request.headers.begin(), request.headers.end(), [](const auto& header) { return header.first == "content-type"; }))
                add_header("Content-Type:");
        }
        if (request.method != "GET") curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer.headers.get());
    }

    void end(CURL* easy, CURLcode code) {
        auto found = under_way_.find(easy);
        std::unique_ptr<Transfer> transfer = std::move(found->second);
        under_way_.erase(found);
        long status = 0;
        curl_off_t retry_after_s = 0;
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after_s);
        transfer->answer.status = static_cast<int>(status);
        transfer->answer.retry_after_ms = static_cast<uint32_t>(std::clamp<curl_off_t>(retry_after_s, 0, 3600) * 1000);
        curl_multi_remove_handle(multi_, easy);
        bool whole = code == CURLE_OK || (code == CURLE_WRITE_ERROR && transfer->enough);
        if (whole) return transfer->done(std::move(transfer->answer));
        finish(*transfer, failure_of(*transfer, code));
    }

    static void finish(Transfer& transfer, HttpFailure failure) {
        transfer.answer.failure = std::move(failure);
        transfer.done(std::move(transfer.answer));
    }

    CURLM* const multi_;
    const std::string ca_file_;
    std::unordered_map<CURL*, std::unique_ptr<Transfer>> under_way_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<Transfer>> begun_;  // guarded by mutex_
    bool stopping_ = false;                         // guarded by mutex_
    std::thread thread_;
};

Http::Http(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}
Http::~Http() = default;

std::string Http::missing() {
    const curl_version_info_data* here = curl_version_info(CURLVERSION_NOW);
    if (here->version_num < 0x075500) return fmt::format("libcurl {} is older than 7.85.0", here->version);
    if ((here->features & CURL_VERSION_SSL) == 0) return "libcurl was built without TLS";
    if ((here->features & CURL_VERSION_THREADSAFE) == 0) return "libcurl cannot be initialised by threads";
    if ((here->features & CURL_VERSION_ASYNCHDNS) == 0) return "libcurl waits while it resolves names";
    return "";
}

Result<std::unique_ptr<Http>> Http::start(const std::string& ca_file) {
    if (std::string what = missing(); !what.empty()) return fail(ENOTSUP, "{}", what);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return fail(ENOTSUP, "libcurl cannot be initialised");
    CURLM* multi = curl_multi_init();
    if (multi == nullptr) {
        curl_global_cleanup();
        return fail(ENOMEM, "libcurl: out of memory");
    }
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, static_cast<long>(connections_max));
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, static_cast<long>(connections_max));
    return std::unique_ptr<Http>(new Http(std::make_unique<Loop>(multi, ca_file)));
}

void Http::begin(HttpRequest request, Done done) {
    auto transfer = std::make_unique<Transfer>();
    transfer->request = std::move(request);
    transfer->done = std::move(done);
    loop_->begin(std::move(transfer));
}

HttpAnswer Http::ask(HttpRequest request) {
    std::promise<HttpAnswer> answered;
    begin(std::move(request), [&](HttpAnswer&& answer) { answered.set_value(std::move(answer)); });
    return answered.get_future().get();
}

}  // namespace hyper
