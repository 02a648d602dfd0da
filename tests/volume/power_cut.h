// SPDX-License-Identifier: Apache-2.0
// A disk that can lose its power: it knows what of a folder's files was made durable, and makes the folder that would be found
// after a power cut, where what was not durable is there or not, in any order.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/support/faulty_io.h"

namespace hyper::test {

// Bound to one thread. For folders without folders in them, and small files.
class PowerCutIo : public PassingIo {
  public:
    // What a careless program would do, to see that it is found out.
    enum class Lie { none, data_never_synced, map_never_synced, folder_never_synced, data_synced_after_map };

    PowerCutIo(std::mt19937_64& random, Lie lie) : random_(random), lie_(lie) {}

    // From now on about this folder, all of which is durable.
    void watch(const std::string& folder);
    // Makes `image` as of the power cut, before the n-th operation from now on, or at finish_image().
    void cut_power(unsigned operations, const std::string& image);
    void finish_image();
    // The same, some operations after a file of this name is written to, if one is until disarm().
    void cut_power_after(const std::string& name, const std::string& image);
    void disarm() { armed_.clear(); }
    bool cut_pending() const { return !image_.empty(); }
    // Whether `image` is of a time before now.
    bool cut_done() const { return cut_done_; }

    // How likely operations fail, in 1 of n; 0: never.
    unsigned failing_syncs = 0, failing_writes = 0;
    // Whether a sync has failed since watch().
    bool sync_failed() const { return sync_failed_; }

    void write(std::span<WriteOp> ops) override;
    int sync(int fd) override;
    std::string_view name() const override { return "power cut"; }

  private:
    using Content = std::vector<std::byte>;
    static constexpr size_t unit_bytes = 512;  // which are written as a whole

    bool one_in(unsigned n) { return n > 0 && random_() % n == 0; }
    void tick();
    void make_durable(int fd);
    void lose(int fd);
    void make_image();
    Content mixed(const Content& durable, const Content& present);

    std::mt19937_64& random_;
    const Lie lie_;
    std::string folder_, image_;
    unsigned until_cut_ = 0;
    bool sync_failed_ = false, cut_done_ = false;
    std::string armed_, armed_image_;
    int late_data_ = -1;
    std::map<std::string, ino_t> names_;  // durable, as are those below
    std::map<ino_t, Content> contents_;
    // What a failed sync has dropped: never durable, unless it changes.
    std::map<ino_t, std::map<size_t, Content>> dropped_;
};

}  // namespace hyper::test
