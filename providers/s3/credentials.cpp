// SPDX-License-Identifier: Apache-2.0
#include "providers/s3/credentials.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "providers/s3/place.h"

namespace hyper::s3 {

namespace {

constexpr size_t file_bytes_max = 1024 * 1024;
constexpr uint32_t metadata_ms_max = 1000;  // of one request: it is near, or not there

std::string trimmed(const std::string& text) {
    size_t start = text.find_first_not_of(" \t\r");
    if (start == text.npos) return "";
    return text.substr(start, text.find_last_not_of(" \t\r") - start + 1);
}

Outcome<std::string> read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string text(file_bytes_max, '\0');
    if (!file || !file.read(text.data(), static_cast<std::streamsize>(text.size())).eof())
        return failed(HYPER_BAD_CONFIGURATION, fmt::format("{}: cannot be read as a file of credentials", path));
    text.resize(static_cast<size_t>(file.gcount()));
    return text;
}

Outcome<Credentials> from_file(const std::string& path) {
    auto text = read_file(path);
    if (!text) return tl::unexpected(text.error());
    return credentials_in(*text, environment("AWS_PROFILE").value_or("default"), path);
}

// "2026-11-23T12:00:00Z"
time_t time_of(const std::string& text) {
    tm utc{};
    return strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &utc) == nullptr ? 0 : timegm(&utc);
}

// The instance's metadata, version 2 of the service: a token first, which only a PUT gets.
class Metadata {
  public:
    Metadata(Http& http, int64_t deadline_ns) : http_(http), deadline_ns_(deadline_ns) {}

    Outcome<Credentials> credentials() {
        std::string token = text("PUT", "/latest/api/token", {{"x-aws-ec2-metadata-token-ttl-seconds", "300"}});
        if (token.empty() || token.find_first_of("\r\n") != token.npos) return none();
        Headers headers{{"x-aws-ec2-metadata-token", token}};
        std::string roles = "/latest/meta-data/iam/security-credentials/";
        std::string role = text("GET", roles, headers);
        role = role.substr(0, role.find('\n'));
        if (role.empty()) return none();
        auto json = nlohmann::json::parse(text("GET", roles + percent_encoded(role, false), headers), nullptr, false);
        auto member = [&](const char* name) { return json.is_object() && json.contains(name) && json[name].is_string() ? json[name].get<std::string>() : ""; };
        Credentials found{member("AccessKeyId"), member("SecretAccessKey"), member("Token"), time_of(member("Expiration"))};
        if (found.key_id.empty() || found.secret.empty()) return none();
        return found;
    }

  private:
    static Outcome<Credentials> none() {
        return failed(HYPER_NOT_ALLOWED,
                      "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or credentials-file=FILE, or anonymous=true");
    }
    // Empty where it was not to be had.
    std::string text(const std::string& method, const std::string& path, Headers headers) {
        HttpRequest request;
        request.method = method;
        request.url = environment("AWS_EC2_METADATA_SERVICE_ENDPOINT").value_or("http://169.254.169.254") + path;
        request.headers = std::move(headers);
        request.deadline_ns = std::min(deadline_ns_, monotonic_ns() + int64_t{metadata_ms_max} * 1'000'000);
        request.connect_ms_max = metadata_ms_max;
        request.direct = true;
        HttpAnswer answer = http_.ask(std::move(request));
        return answer.status == 200 && !answer.failure && !answer.text_cut ? answer.text : "";
    }

    Http& http_;
    int64_t deadline_ns_;
};

}  // namespace

Outcome<Credentials> credentials_in(const std::string& text, const std::string& profile, const std::string& path) {
    std::istringstream lines(text);
    Credentials found;
    bool in_profile = false, seen = false;
    for (std::string line; std::getline(lines, line);) {
        line = trimmed(line);
        if (line.empty() || line[0] == '#' || line[0] == ';') continue;
        if (line[0] == '[') {
            in_profile = line.back() == ']' && trimmed(line.substr(1, line.size() - 2)) == profile;
            seen |= in_profile;
            continue;
        }
        size_t equals = line.find('=');
        if (!in_profile || equals == line.npos) continue;
        std::string name = trimmed(line.substr(0, equals)), value = trimmed(line.substr(equals + 1));
        if (name == "aws_access_key_id") found.key_id = value;
        if (name == "aws_secret_access_key") found.secret = value;
        if (name == "aws_session_token") found.token = value;
    }
    if (!seen) return failed(HYPER_BAD_CONFIGURATION, fmt::format("{}: has no part [{}]", path, profile));
    if (found.key_id.empty() || found.secret.empty())
        return failed(HYPER_BAD_CONFIGURATION, fmt::format("{}: [{}] wants aws_access_key_id and aws_secret_access_key", path, profile));
    return found;
}

Outcome<Credentials> find_credentials(const std::string& file, Http& http, int64_t deadline_ns) {
    if (!file.empty()) return from_file(file);
    if (auto key_id = environment("AWS_ACCESS_KEY_ID")) {
        auto secret = environment("AWS_SECRET_ACCESS_KEY");
        if (!secret) return failed(HYPER_BAD_CONFIGURATION, "AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not");
        return Credentials{*key_id, *secret, environment("AWS_SESSION_TOKEN").value_or("")};
    }
    if (auto shared = environment("AWS_SHARED_CREDENTIALS_FILE")) return from_file(*shared);
    if (auto home = environment("HOME")) {
        std::string path = *home + "/.aws/credentials";
        if (std::ifstream(path).good()) return from_file(path);
    }
    if (environment("AWS_EC2_METADATA_DISABLED").value_or("false") != "true") return Metadata(http, deadline_ns).credentials();
    return failed(HYPER_NOT_ALLOWED, "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or credentials-file=FILE, or anonymous=true");
}

}  // namespace hyper::s3
