// SPDX-License-Identifier: Apache-2.0
// The null provider: null:///4G is a disk of so many zeros, in no time. For measuring what is around it, and the shortest example of a provider.
#include <charconv>
#include <cstring>

#include "providers/provider.h"

namespace hyper::null {

using provider::failed;
using provider::Outcome;

namespace {

// "4G" as a number of bytes; 0 for what is none.
uint64_t bytes_of(const std::string& text) {
    uint64_t number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    std::string unit(end, text.data() + text.size());
    unsigned shift = unit == "K" ? 10 : unit == "M" ? 20 : unit == "G" ? 30 : unit == "T" ? 40 : 0;
    bool known = error == std::errc() && (unit.empty() || shift != 0);
    return known && number <= (uint64_t{64} << 40) >> shift ? number << shift : 0;
}

class Snapshot : public provider::Snapshot {
  public:
    explicit Snapshot(uint64_t size_bytes) {
        disk_.size_bytes = size_bytes;
        disk_.identity = disk_.disk_id = "null:" + std::to_string(size_bytes);
        disk_.consistency = HYPER_AT_REST;
    }
    const provider::SnapshotDisk& describe(uint32_t) const override { return disk_; }
    void read(hyper_read& read) override {
        std::memset(read.buffer, 0, read.length);
        provider::finish(read);
    }
    Outcome<std::vector<hyper_extent>> extents(const hyper_call&, uint32_t, uint64_t, uint64_t length, size_t) override {
        return std::vector<hyper_extent>{{length, HYPER_EXTENT_ZERO}};
    }

  private:
    provider::SnapshotDisk disk_;
};

class Connection : public provider::Connection {
  public:
    static Outcome<std::unique_ptr<provider::Connection>> open(provider::Host, const hyper_call&, const std::string& uri,
                                                               const provider::Options&) {
        auto made = std::make_unique<Connection>();
        made->size_ = uri.substr(uri.rfind('/') + 1);
        if (bytes_of(made->size_) == 0) return failed(HYPER_BAD_CONFIGURATION, "\"" + made->size_ + "\" is no size (try null:///4G)");
        return made;
    }
    const std::string& disk() const override { return size_; }
    Outcome<void> list(const hyper_call&, const std::function<bool(const provider::FoundDisk&)>& found) override {
        found({size_, bytes_of(size_), "zeros", false});
        return {};
    }
    Outcome<void> check(const hyper_call&, const std::string&, const provider::Finding& finding) override {
        finding(HYPER_GOOD, "zeros", "are always there");
        return {};
    }
    Outcome<std::unique_ptr<provider::Snapshot>> take_snapshot(const hyper_call&, const provider::Wish&) override {
        return std::make_unique<Snapshot>(bytes_of(size_));
    }

  private:
    std::string size_;
};

}  // namespace

}  // namespace hyper::null

const hyper_provider* hyper_provider_entry() {
    static const hyper_provider table = hyper::provider::table<hyper::null::Connection>(
        {.name = "null", .version = HYPER_VERSION, .description = "disks of zeros", .schemes = "null", .options = ""});
    return &table;
}
