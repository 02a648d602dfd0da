// SPDX-License-Identifier: Apache-2.0
// The provider "libvirt": disks of libvirt's guests.
#include "providers/libvirt/connection.h"

namespace {

using namespace hyper::provider;

hyper_failure self_check(const hyper_host*, hyper_error* error) {
    if (virInitialize() == 0) return HYPER_OK;
    put(error, libvirt::last_failure("get ready"));
    return HYPER_FATAL;
}

}  // namespace

const hyper_provider* hyper_provider_entry() {
    static const hyper_provider table = hyper::provider::table<libvirt::LibvirtConnection>(
        {"libvirt", HYPER_VERSION, "disks of libvirt's guests, running or stopped", "libvirt", "connect scratch quiesce", &self_check});
    return &table;
}
