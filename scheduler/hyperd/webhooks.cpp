// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/webhooks.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>

#include "blockengine/base/bytes.h"
#include "blockengine/base/hex.h"
#include "blockengine/base/log.h"
#include "blockengine/base/sha256.h"
#include "blockengine/http/http.h"
#include "nbdserver/locks/config_file.h"

namespace hyper::hyperd {

namespace {

constexpr int64_t answer_ns_max = 10'000'000'000;
constexpr std::chrono::milliseconds look_every{1000};
constexpr Seconds delay_max{3600};

}  // namespace

// HMAC as RFC 2104 has it.
std::string webhook_signature(std::string_view secret, int64_t timestamp, std::string_view body) {
    constexpr size_t block_bytes = 64;
    std::array<std::byte, block_bytes> inner{}, outer{};
    Sha256 hashed;
    auto key = bytes_of_text(secret);
    if (key.size() > block_bytes) {
        hashed = sha256({key});
        key = hashed;
    }
    std::ranges::copy(key, inner.begin());
    outer = inner;
    for (std::byte& byte : inner) byte ^= std::byte{0x36};
    for (std::byte& byte : outer) byte ^= std::byte{0x5c};
    std::string time = fmt::format("{}.", timestamp);
    Sha256 first = sha256({inner, bytes_of_text(time), bytes_of_text(body)});
    return "sha256=" + hex(sha256({outer, first}));
}

Seconds webhook_delay(unsigned tries) { return std::min(delay_max, Seconds(int64_t{1} << std::min(tries > 0 ? tries - 1 : 0, 20U))); }

class Webhooks::Sender {
  public:
    Sender(Daemon& daemon, std::unique_ptr<Http> http) : daemon_(daemon), http_(std::move(http)) {}

    // Errors: why it is to be tried again.
    Result<void> send(const scheduler::Webhook& hook, const scheduler::OutboxRow& row, int64_t timestamp) {
        Secret file = TRY(read_secret_file(hook.secret_file));
        std::string_view secret = file.bytes();
        if (secret.ends_with('\n')) secret.remove_suffix(1);
        if (secret.empty()) return fail(EINVAL, "{}: the secret is empty", hook.secret_file);
        HttpRequest request;
        request.method = "POST";
        request.url = hook.url;
        request.headers = {{"Content-Type", "application/json"},
                           {"Hyper-Event-Id", std::to_string(row.event)},
                           {"Hyper-Timestamp", std::to_string(timestamp)},
                           {"Hyper-Signature", webhook_signature(secret, timestamp, row.body)}};
        request.body = bytes_of_text(row.body);
        request.deadline_ns = monotonic_ns() + answer_ns_max;
        request.cancelled = [this] { return !daemon_.wait(std::chrono::milliseconds(0)); };
        HttpAnswer answer = http_->ask(std::move(request));
        if (answer.failure) return fail(EIO, "{}", answer.failure->message);
        if (answer.status < 200 || answer.status > 299) return fail(EIO, "{}: answered {}", hook.url, answer.status);
        return {};
    }

  private:
    Daemon& daemon_;
    const std::unique_ptr<Http> http_;
};

Webhooks::Webhooks(Daemon& daemon, std::unique_ptr<Sender> sender) : daemon_(daemon), sender_(std::move(sender)) {
    thread_ = std::thread([this] { run(); });
}

Webhooks::~Webhooks() { thread_.join(); }

Result<std::unique_ptr<Webhooks>> Webhooks::start(Daemon& daemon) {
    auto sender = std::make_unique<Sender>(daemon, TRY(Http::start()));
    return std::unique_ptr<Webhooks>(new Webhooks(daemon, std::move(sender)));
}

void Webhooks::run() {
    bool more = false;  // what follows a message that was just taken need not wait
    while (daemon_.wait(more ? std::chrono::milliseconds(0) : look_every)) {
        more = false;
        auto rows = daemon_.outbox();
        if (!rows) {
            log_warning("webhooks: {}", rows.error().message);
            continue;
        }
        auto hooks = daemon_.config().api.webhooks;
        for (scheduler::OutboxRow& row : *rows) {
            auto hook = std::ranges::find(hooks, row.url, &scheduler::Webhook::url);
            // A url that the configuration no longer has is told no more.
            bool gone = hook == hooks.end();
            auto when = std::chrono::floor<Seconds>(std::chrono::system_clock::now());
            auto sent = gone ? Result<void>() : sender_->send(*hook, row, when.time_since_epoch().count());
            if (!sent) {
                ++row.attempts;
                row.next_try = when + webhook_delay(row.attempts);
                if (row.attempts == 1) log_warning("webhook: {}; it is tried again", sent.error().message);
            }
            auto written = sent ? daemon_.delivered({row.id}, {}) : daemon_.delivered({}, {row});
            if (!written) log_warning("webhooks: {}", written.error().message);
            more = more || (sent && written);
            if (!daemon_.wait(std::chrono::milliseconds(0))) return;
        }
    }
}

}  // namespace hyper::hyperd
