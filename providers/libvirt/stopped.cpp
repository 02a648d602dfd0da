// SPDX-License-Identifier: Apache-2.0
// Stopped guests: a qemu-nbd reads each image, with the bitmap that QEMU left in it. The images are locked meanwhile, so the guest cannot
// be started, and nothing is written to them. So no new mark is made; that of `since` goes on to stand for this point in time, which
// makes what changed since it more than what did, and never less.
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "providers/libvirt/checkpoints.h"
#include "providers/libvirt/held.h"
#include "providers/libvirt/image_lock.h"
#include "providers/libvirt/process.h"

namespace hyper::provider::libvirt {
namespace {

// Whether a server greets there. That it can be connected to says little: qemu-nbd listens before it looks at the bitmap.
bool greets(const hyper_call& call, const std::string& socket_path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket_path.size() >= sizeof address.sun_path) return false;
    std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
    UniqueFd client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!client || ::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return false;
    pollfd readable{client.get(), POLLIN, 0};
    char greeting[8] = {};
    return poll(&readable, 1, ms_left(call)) == 1 && recv(client.get(), greeting, sizeof greeting, MSG_WAITALL) == sizeof greeting &&
           std::memcmp(greeting, "NBDMAGIC", sizeof greeting) == 0;
}

// A bitmap counts only if the checkpoint was made with this image at the top: one that was put over it later has writes that the bitmap
// in it does not know.
void look_for_base(virDomain* domain, HeldDisk& held) {
    if (held.base.checkpoint.empty() || !held.lost.empty()) return;
    auto disks = checkpoint_disks(domain, held.base.checkpoint);
    if (!disks) {
        held.lost = disks.error().message;
        return;
    }
    auto at = std::find_if(disks->begin(), disks->end(), [&](const auto& disk) { return disk.target == held.disk.target; });
    if (at == disks->end())
        held.lost = "checkpoint " + held.base.checkpoint + " has no bitmap of " + held.disk.target;
    else if (at->source != held.disk.source)
        held.lost = "disk " + held.disk.target + " is " + held.disk.source + " now, and was " + at->source + " at checkpoint " +
                    held.base.checkpoint;
}

class Stopped : public Held {
  public:
    Stopped(Ledger ledger, const Place& place) : ledger_(std::move(ledger)), place_(place) {}

    Outcome<void> begin(const hyper_call& call, const HoldWish& wish, std::vector<HeldDisk>& disks);
    void end(const hyper_call& call, hyper_outcome outcome) override;

  private:
    Outcome<void> serve(const hyper_call& call, HeldDisk& held, const std::string& socket, const std::string& bitmap);

    Ledger ledger_;
    Place place_;
    std::vector<UniqueFd> locks_;
    std::vector<Child> readers_;
};

Outcome<void> Stopped::serve(const hyper_call& call, HeldDisk& held, const std::string& socket, const std::string& bitmap) {
    std::vector<std::string> command{"qemu-nbd", "--read-only", "--persistent", "--shared=8", "--format=" + held.disk.format,
                                     "--socket=" + socket};
    if (!bitmap.empty()) command.push_back("--bitmap=" + bitmap);
    command.insert(command.end(), {"--", held.disk.source});
    auto reader = Child::start(command);
    if (!reader) return tl::unexpected(reader.error());
    while (!greets(call, socket)) {
        if (reader->has_ended())
            return failed(HYPER_FATAL, "libvirt: qemu-nbd of " + held.disk.source + ": " + reader->wait().said);
        if (given_up(call)) return failed(HYPER_RETRY_LATER, "libvirt: qemu-nbd of " + held.disk.source + " did not start in time");
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    readers_.push_back(std::move(*reader));
    held.from = {socket, "", bitmap};
    return {};
}

Outcome<void> Stopped::begin(const hyper_call& call, const HoldWish& wish, std::vector<HeldDisk>& disks) {
    if (!wish.place.is_local())
        return failed(HYPER_BAD_CONFIGURATION, "libvirt: domain " + wish.guest.name + " is stopped and on another machine: its images cannot "
                                               "be read from here (start it, or run this there)");
    for (const HeldDisk& held : disks) {
        if (held.disk.source.empty())
            return failed(HYPER_BAD_CONFIGURATION, "libvirt: disk " + held.disk.target + " of domain " + wish.guest.name + " is of type " +
                                                       held.disk.type + ", which can be read only while the guest runs");
        auto lock = lock_image(held.disk.source);
        if (!lock) return tl::unexpected(lock.error());
        locks_.push_back(std::move(*lock));
    }
    // Before the locks were there it may have been started.
    if (is_active(wish.domain)) return failed(HYPER_RETRY_LATER, "libvirt: domain " + wish.guest.name + " was started just now");

    bool saved = virDomainHasManagedSaveImage(wish.domain, 0) == 1;
    std::string tag = tag_prefix + ledger_.host().unique();
    for (HeldDisk& held : disks) {
        look_for_base(wish.domain, held);
        std::string socket = place_.scratch + "/" + tag + "-" + held.disk.target + ".sock";
        if (auto noted = ledger_.note("reader", socket); !noted) return noted;
        bool with_bitmap = !held.base.checkpoint.empty() && held.lost.empty();
        auto served = serve(call, held, socket, with_bitmap ? held.base.checkpoint : "");
        if (!served && with_bitmap && served.error().kind == HYPER_FATAL) {
            held.lost = served.error().message;
            with_bitmap = false;
            served = serve(call, held, socket, "");
        }
        if (!served) return served;
        held.consistency = saved ? HYPER_CRASH_CONSISTENT : HYPER_AT_REST;
        if (!wish.track || !with_bitmap) continue;
        Mark mark = held.base;
        mark.read = ledger_.host().unique();
        held.mark = mark.text();
    }
    return {};
}

void Stopped::end(const hyper_call&, hyper_outcome) {
    readers_.clear();
    locks_.clear();
    for (const std::string& socket : ledger_.noted("reader"))
        if (unlink(socket.c_str()) == 0 || errno == ENOENT) ledger_.forget("reader", socket);
}

}  // namespace

Outcome<std::unique_ptr<Held>> hold_stopped(const hyper_call& call, Ledger ledger, const HoldWish& wish, std::vector<HeldDisk>& disks) {
    auto stopped = std::make_unique<Stopped>(std::move(ledger), wish.place);
    if (auto begun = stopped->begin(call, wish, disks); !begun) {
        stopped->end(call, HYPER_ABANDONED);
        return tl::unexpected(begun.error());
    }
    return stopped;
}

}  // namespace hyper::provider::libvirt
