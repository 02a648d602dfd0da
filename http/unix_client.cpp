// SPDX-License-Identifier: Apache-2.0
#include "http/unix_client.h"

#include <httplib.h>
#include <sys/socket.h>

#include <cerrno>

namespace hyper::http {

namespace {

// As most servers of ours take their time only where a disk does.
constexpr time_t answer_seconds_max = 30;

httplib::Request request_of(const std::string& method, const std::string& target) {
    httplib::Request request;
    request.method = method;
    request.path = target;
    request.headers = {{"Host", "localhost"}};
    return request;
}

void set_up(httplib::ClientImpl& client, time_t waits) {
    client.set_address_family(AF_UNIX);
    client.set_url_encode(false);
    client.set_read_timeout(waits);
}

Answer answer_of(const httplib::Response& response) {
    return {response.status, response.get_header_value("Content-Type"), response.body};
}

tl::unexpected<Error> no_answer(const std::string& socket_path, httplib::Error error) {
    return fail(ECONNREFUSED, "{}: no answer ({})", socket_path, httplib::to_string(error));
}

}  // namespace

Result<Answer> ask_unix(const std::string& socket_path, const std::string& method, const std::string& target, const std::string& json_body) {
    httplib::ClientImpl client(socket_path);
    set_up(client, answer_seconds_max);
    httplib::Request request = request_of(method, target);
    if (!json_body.empty()) {
        request.body = json_body;
        request.set_header("Content-Type", "application/json");
    }
    auto result = client.send(request);
    if (!result) return no_answer(socket_path, result.error());
    return answer_of(*result);
}

Result<Answer> follow_unix(const std::string& socket_path, const std::string& target, const Fields& headers, std::chrono::seconds waits,
                           const std::function<bool(std::string_view)>& take) {
    httplib::ClientImpl client(socket_path);
    set_up(client, waits.count());
    httplib::Request request = request_of("GET", target);
    for (const auto& [name, value] : headers) request.set_header(name, value);
    int status = 0;
    bool stopped = false;
    std::string refusal;
    request.response_handler = [&](const httplib::Response& response) {
        status = response.status;
        return true;
    };
    request.content_receiver = [&](const char* bytes, size_t size, uint64_t, uint64_t) {
        if (status != 200) refusal.append(bytes, size);
        stopped = status == 200 && !take({bytes, size});
        return !stopped && refusal.size() < 64 << 10;
    };
    auto result = client.send(request);
    if (!result && !stopped) return no_answer(socket_path, result.error());
    return Answer{status, "", refusal};
}

}  // namespace hyper::http
