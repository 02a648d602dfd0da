// SPDX-License-Identifier: Apache-2.0
#include "providers/libvirt/virt.h"

#include <time.h>

#include <algorithm>
#include <mutex>

namespace hyper::provider::libvirt {
namespace {

std::mutex quiet_mutex;
int quiet_count = 0;  // guarded by quiet_mutex

void say_nothing(void*, virErrorPtr) {}

hyper_failure kind_of(int code) {
    switch (code) {
        case VIR_ERR_AUTH_FAILED:
        case VIR_ERR_AUTH_CANCELLED:
        case VIR_ERR_AUTH_UNAVAILABLE:
        case VIR_ERR_ACCESS_DENIED:
        case VIR_ERR_OPERATION_DENIED:
            return HYPER_NOT_ALLOWED;
        case VIR_ERR_NO_CONNECT:
        case VIR_ERR_RPC:
        case VIR_ERR_SYSTEM_ERROR:
        case VIR_ERR_OPERATION_TIMEOUT:
        case VIR_ERR_RESOURCE_BUSY:
        case VIR_ERR_AGENT_UNRESPONSIVE:
            return HYPER_RETRY_LATER;
        case VIR_ERR_NO_DOMAIN:
        case VIR_ERR_INVALID_ARG:
        case VIR_ERR_NO_SUPPORT:
        case VIR_ERR_OPERATION_UNSUPPORTED:
        case VIR_ERR_CONFIG_UNSUPPORTED:
            return HYPER_BAD_CONFIGURATION;
        default:
            return HYPER_FATAL;
    }
}

}  // namespace

// The function that libvirt calls is in this module, so it must not outlive it.
Quiet::Quiet() {
    std::lock_guard lock(quiet_mutex);
    if (quiet_count++ == 0) virSetErrorFunc(nullptr, say_nothing);
}

Quiet::~Quiet() {
    std::lock_guard lock(quiet_mutex);
    if (--quiet_count == 0) virSetErrorFunc(nullptr, nullptr);
}

Failure last_failure(const std::string& what) {
    const virError* error = virGetLastError();
    if (error == nullptr || error->message == nullptr) return {HYPER_FATAL, "libvirt: " + what + ": failed without a reason"};
    return {kind_of(error->code), "libvirt: " + what + ": " + error->message};
}

int last_code() { return virGetLastErrorCode(); }

Outcome<Connect> connect_to(const std::string& uri) {
    Connect connect(virConnectOpen(uri.c_str()));
    if (connect) return connect;
    return tl::unexpected(last_failure("connect to " + uri));
}

Outcome<Domain> find_domain(virConnect* connect, const std::string& name) {
    Domain domain(virDomainLookupByName(connect, name.c_str()));
    if (!domain) {
        Failure by_name = last_failure("find domain " + name);
        domain.reset(virDomainLookupByUUIDString(connect, name.c_str()));
        if (!domain) return tl::unexpected(std::move(by_name));
    }
    return domain;
}

std::string name_of(virDomain* domain) {
    const char* name = virDomainGetName(domain);
    return name == nullptr ? "" : name;
}

std::string uuid_of(virDomain* domain) {
    char text[VIR_UUID_STRING_BUFLEN] = {};
    virDomainGetUUIDString(domain, text);
    return text;
}

bool is_active(virDomain* domain) { return virDomainIsActive(domain) == 1; }

Outcome<std::string> xml_of(virDomain* domain, unsigned flags) {
    Text text(virDomainGetXMLDesc(domain, flags));
    if (!text) return tl::unexpected(last_failure("description of domain " + name_of(domain)));
    return std::string(text.get());
}

std::string job_of(virDomain* domain) {
    Text text(virDomainBackupGetXMLDesc(domain, 0));
    return text ? std::string(text.get()) : std::string();
}

int ms_left(const hyper_call& call) {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t left_ns = call.deadline_ns - (int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec);
    return static_cast<int>(std::clamp<int64_t>(left_ns / 1'000'000, 0, 3'600'000));
}

bool given_up(const hyper_call& call) { return ms_left(call) == 0 || (call.cancelled != nullptr && call.cancelled(&call)); }

}  // namespace hyper::provider::libvirt
