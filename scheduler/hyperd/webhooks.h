// SPDX-License-Identifier: Apache-2.0
// Tells others what happened: a POST for each event that a webhook wants, at least once and in order for each url, until it is taken (any 2xx).
//
//     POST URL
//     Content-Type: application/json
//     Hyper-Event-Id: 17                 the same again when it is sent again
//     Hyper-Timestamp: 1764000000        when it was sent, Unix time
//     Hyper-Signature: sha256=HEX        HMAC-SHA256 over "TIMESTAMP.BODY", with the bytes of the secret file, less a newline at its end
//
// What is not taken is tried again after 1, 2, 4 ... seconds, an hour at most, for as long as it stays in the outbox; the next event of that url
// waits for it.
#pragma once

#include <string>
#include <string_view>
#include <thread>

#include "scheduler/hyperd/daemon.h"

namespace hyper::hyperd {

// "sha256=HEX".
std::string webhook_signature(std::string_view secret, int64_t timestamp, std::string_view body);
// How long to wait after so many tries, the first included.
Seconds webhook_delay(unsigned tries);

class Webhooks {
  public:
    // Ends with the daemon: stop that first.
    static Result<std::unique_ptr<Webhooks>> start(Daemon& daemon);
    ~Webhooks();

  private:
    class Sender;
    Webhooks(Daemon& daemon, std::unique_ptr<Sender> sender);
    void run();

    Daemon& daemon_;
    std::unique_ptr<Sender> sender_;
    std::thread thread_;
};

}  // namespace hyper::hyperd
