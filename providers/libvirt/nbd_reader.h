// SPDX-License-Identifier: Apache-2.0
// Reads exports of NBD servers on Unix sockets of this machine.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "blockengine/base/unique_fd.h"
#include "providers/provider.h"

struct nbd_handle;

namespace hyper::provider::libvirt {

struct NbdExport {
    std::string socket, name;
    std::string bitmap;  // of qemu:dirty-bitmap:BITMAP; empty for none
};

// Thread-safe. One thread of its own moves all bytes, over several connections an export where the server allows that. A connection
// that does not answer a request before its deadline is given up and made anew; one that the server ended is not, since this point in
// time ended with it.
class NbdReader {
  public:
    // Connected to all of them on return.
    static Outcome<std::unique_ptr<NbdReader>> open(std::vector<NbdExport> exports, const hyper_call& call);
    // What is under way ends with HYPER_SNAPSHOT_GONE.
    ~NbdReader();
    NbdReader(const NbdReader&) = delete;
    NbdReader& operator=(const NbdReader&) = delete;

    uint64_t size_bytes(uint32_t disk) const { return sizes_.at(disk); }
    void read(hyper_read& read);
    enum class Map { zeros, dirty };
    Outcome<std::vector<hyper_extent>> extents(const hyper_call& call, Map map, uint32_t disk, uint64_t offset, uint64_t length,
                                               size_t room);

  private:
    struct Status;
    struct Job;
    struct Lane;

    NbdReader(std::vector<NbdExport> exports);
    Outcome<void> connect(Lane& lane);
    void run();
    void hand_out();
    void hand_to(Lane& lane, std::unique_ptr<Job> job);
    void look_after(Lane& lane, int64_t now);
    void drop(Lane& lane, const Failure& failure);
    int wait_ms(int64_t now) const;
    void submit(std::unique_ptr<Job> job);

    const std::vector<NbdExport> exports_;
    std::vector<uint64_t> sizes_;
    std::vector<std::unique_ptr<Lane>> lanes_;       // of the thread
    std::deque<std::unique_ptr<Job>> waiting_;       // of the thread
    UniqueFd wake_;
    std::mutex mutex_;
    std::deque<std::unique_ptr<Job>> incoming_;  // guarded by mutex_
    bool ending_ = false;                        // guarded by mutex_
    std::thread thread_;
};

}  // namespace hyper::provider::libvirt
