// SPDX-License-Identifier: Apache-2.0
// A provider with a fault that a definition chooses, or with none: test:///VERSION-OF-THE-BUILD is its only disk, full of that number's digit.
#include <cstring>

#include "providers/provider.h"

#ifndef HYPER_TEST_VERSION
#define HYPER_TEST_VERSION "0"
#endif

namespace {

using namespace hyper::provider;

class TestSnapshot : public Snapshot {
  public:
    TestSnapshot() {
        disk_.size_bytes = 1 << 20;
        disk_.identity = disk_.disk_id = "test:" HYPER_TEST_VERSION;
    }
    const SnapshotDisk& describe(uint32_t) const override { return disk_; }
    void read(hyper_read& read) override {
        std::memset(read.buffer, HYPER_TEST_VERSION[0], read.length);
        finish(read);
    }

  private:
    SnapshotDisk disk_;
};

class TestConnection : public Connection {
  public:
    static Outcome<std::unique_ptr<Connection>> open(Host, const hyper_call&, const std::string&, const Options&) {
        return std::make_unique<TestConnection>();
    }
    const std::string& disk() const override { return disk_; }
    Outcome<void> list(const hyper_call&, const std::function<bool(const FoundDisk&)>& found) override {
        found({disk_, 1 << 20, "", false});
        return {};
    }
    Outcome<void> check(const hyper_call&, const std::string&, const Finding&) override { return {}; }
    Outcome<std::unique_ptr<Snapshot>> take_snapshot(const hyper_call&, const Wish&) override { return std::make_unique<TestSnapshot>(); }

  private:
    std::string disk_ = HYPER_TEST_VERSION;
};

}  // namespace

#ifdef BAD_NAME
extern "C" __attribute__((visibility("default"))) int something_else() { return 0; }
#else
const hyper_provider* hyper_provider_entry() {
    static hyper_provider made = table<TestConnection>({.name = "test",
                                                        .version = HYPER_TEST_VERSION,
                                                        .description = "for tests",
                                                        .schemes = "test",
                                                        .options = ""});
#ifdef BAD_ABI
    made.abi = HYPER_PROVIDER_ABI + 1;
#endif
#ifdef BAD_READ
    made.read = nullptr;
#endif
#ifdef BAD_CHECK
    made.self_check = [](const hyper_host*, hyper_error* error) {
        std::strcpy(error->message, "its library is missing");
        return HYPER_BAD_CONFIGURATION;
    };
#endif
#ifdef BAD_ENTRY
    return nullptr;
#endif
    return &made;
}
#endif
