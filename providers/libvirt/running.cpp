// SPDX-License-Identifier: Apache-2.0
// Running guests. What is made, in this order, each noted before: the freeze; with one call the backup job with its socket and scratch
// files, and the checkpoint; then at once the thaw. At the end: the job, its files, and the checkpoint that nobody will ask for again.
#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <set>

#include "providers/libvirt/backup.h"
#include "providers/libvirt/checkpoints.h"
#include "providers/libvirt/frozen.h"
#include "providers/libvirt/held.h"

namespace hyper::provider::libvirt {
namespace {

class Running : public Held {
  public:
    Running(Ledger ledger, Place place, std::string uuid) : ledger_(std::move(ledger)), place_(std::move(place)), uuid_(std::move(uuid)) {
        tag_ = tag_prefix + ledger_.host().unique();
    }

    Outcome<void> begin(const HoldWish& wish, std::vector<HeldDisk>& disks);
    void end(const hyper_call& call, hyper_outcome outcome) override;

  private:
    Outcome<void> note_all(const BackupPlan& plan);
    Outcome<std::optional<Frozen>> freeze(const HoldWish& wish);
    void remove_files(const std::string& kind);
    Outcome<void> settle_marks(virDomain* domain, hyper_outcome outcome);

    Ledger ledger_;
    Place place_;
    std::string uuid_, tag_;
    BackupPlan plan_;
    bool begun_ = false;  // the call that begins the job has returned, and well
    std::set<std::string> bases_;     // the checkpoints that were compared with
    std::set<std::string> lineages_;  // whose older checkpoints can go when the new one stays
};

// What is known of the state that a disk is to be compared with.
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
    else if (!at->is_sound)
        held.lost = "the bitmap of checkpoint " + held.base.checkpoint + " in " + held.disk.source +
                    " is missing or inconsistent, as after QEMU was killed";
}

Outcome<void> Running::note_all(const BackupPlan& plan) {
    std::vector<std::pair<std::string, std::string>> things{{"backup", tag_}, {"socket", plan.socket}};
    for (const BackupDisk& disk : plan.disks) things.emplace_back("scratch", disk.scratch);
    if (!plan.checkpoint.empty()) things.emplace_back("checkpoint", plan.checkpoint);
    for (const auto& [kind, id] : things)
        if (auto noted = ledger_.note(kind, id); !noted) return noted;
    return {};
}

Outcome<std::optional<Frozen>> Running::freeze(const HoldWish& wish) {
    bool wanted = place_.quiesce == Quiesce::yes || (place_.quiesce == Quiesce::automatic && wish.guest.agent_answers);
    if (!wanted) return std::nullopt;
    auto frozen = Frozen::freeze(ledger_, wish.domain, tag_);
    if (frozen) return std::optional<Frozen>(std::move(*frozen));
    // Where no agent was there to begin with, none has frozen a part of them.
    if (!wish.guest.agent_answers) ledger_.forget("freeze", tag_);
    if (place_.quiesce == Quiesce::yes) return tl::unexpected(frozen.error());
    ledger_.host().log(HYPER_LOG_WARNING, frozen.error().message + "; the snapshot is only crash-consistent");
    return std::nullopt;
}

Outcome<void> Running::begin(const HoldWish& wish, std::vector<HeldDisk>& disks) {
    if (!place_.is_local())
        return failed(HYPER_BAD_CONFIGURATION, "libvirt: domain " + wish.guest.name + " runs on another machine (" + place_.connect +
                                                   "), whose NBD sockets cannot be reached from here: run this there");
    if (std::string job = job_of(wish.domain); !job.empty())
        return failed(HYPER_RETRY_LATER, "libvirt: domain " + wish.guest.name + " has " + owner_of(job) + ", and can have only one");

    std::string lineage;
    plan_.socket = place_.scratch + "/" + tag_ + ".sock";
    for (HeldDisk& held : disks) {
        look_for_base(wish.domain, held);
        if (!held.base.checkpoint.empty()) {
            bases_.insert(held.base.checkpoint);
            lineages_.insert(held.base.lineage());
        }
        BackupDisk disk{held.disk.target, place_.scratch + "/" + tag_ + "-" + held.disk.target + ".scratch", "", "", false};
        disk.marked = wish.track && held.disk.tracks_changes();
        if (!held.base.checkpoint.empty() && held.lost.empty()) {
            disk.since = held.base.checkpoint;
            disk.bitmap = tag_ + "-" + held.disk.target;
        }
        plan_.disks.push_back(std::move(disk));
    }
    for (const GuestDisk& disk : wish.guest.disks)
        if (std::none_of(disks.begin(), disks.end(), [&](const HeldDisk& held) { return held.disk.target == disk.target; }))
            plan_.others.push_back(disk.target);
    if (std::any_of(plan_.disks.begin(), plan_.disks.end(), [](const auto& disk) { return disk.marked; })) {
        std::string unique = ledger_.host().unique();
        plan_.checkpoint = (lineages_.empty() ? tag_prefix + unique + "-" : *lineages_.begin()) + tag_.substr(std::string(tag_prefix).size());
    }

    if (auto noted = note_all(plan_); !noted) return noted;
    auto frozen = freeze(wish);
    if (!frozen) return tl::unexpected(frozen.error());
    auto start = [&] {
        return virDomainBackupBegin(wish.domain, backup_xml(plan_).c_str(),
                                    plan_.checkpoint.empty() ? nullptr : checkpoint_xml(plan_).c_str(), 0) == 0;
    };
    bool started = begun_ = start();
    bool incremental = std::any_of(plan_.disks.begin(), plan_.disks.end(), [](const auto& disk) { return !disk.since.empty(); });
    if (!started && incremental &&
        (last_code() == VIR_ERR_CHECKPOINT_INCONSISTENT || last_code() == VIR_ERR_NO_DOMAIN_CHECKPOINT)) {
        std::string why = last_failure("what changed since").message;
        for (size_t i = 0; i < disks.size(); ++i) {
            if (plan_.disks[i].since.empty()) continue;
            disks[i].lost = why;
            plan_.disks[i].since.clear();
        }
        started = begun_ = start();
    }
    Failure failure = started ? Failure{} : last_failure("begin a backup job of domain " + wish.guest.name);
    // What QEMU says of a socket or file that it may not make comes as libvirt's "internal error".
    if (failure.message.find("Permission denied") != std::string::npos)
        failure = {HYPER_NOT_ALLOWED, failure.message + " (QEMU has to be able to write in " + place_.scratch + "; scratch= names another folder)"};
    bool consistent = frozen->has_value();
    frozen->reset();
    if (!started) return tl::unexpected(std::move(failure));

    for (size_t i = 0; i < disks.size(); ++i) {
        const BackupDisk& disk = plan_.disks[i];
        disks[i].from = {plan_.socket, disk.target, disk.since.empty() ? "" : disk.bitmap};
        disks[i].consistency = consistent ? HYPER_APPLICATION_CONSISTENT : HYPER_CRASH_CONSISTENT;
        if (disk.marked) disks[i].mark = Mark{plan_.checkpoint, disk.target, disks[i].size_bytes}.text();
    }
    return {};
}

void Running::remove_files(const std::string& kind) {
    for (const std::string& path : ledger_.noted(kind))
        if (!place_.is_local() || unlink(path.c_str()) == 0 || errno == ENOENT) ledger_.forget(kind, path);
}

// The newest mark stays and the older ones of its lineage go, or the newest goes.
Outcome<void> Running::settle_marks(virDomain* domain, hyper_outcome outcome) {
    if (outcome != HYPER_KEPT) {
        for (const std::string& name : ledger_.noted("checkpoint")) {
            if (auto deleted = delete_checkpoint(domain, name, place_.is_local()); !deleted) return deleted;
            ledger_.forget("checkpoint", name);
        }
        return {};
    }
    if (plan_.checkpoint.empty()) return {};
    std::vector<std::string> older;
    for (const std::string& name : checkpoint_names(domain)) {
        bool is_ours = std::any_of(lineages_.begin(), lineages_.end(), [&](const auto& lineage) { return name.starts_with(lineage); });
        if (is_ours && name != plan_.checkpoint) older.push_back(name);
    }
    for (const std::string& name : older)
        if (auto noted = ledger_.has("checkpoint", name) ? Outcome<void>() : ledger_.note("checkpoint", name); !noted) return noted;
    for (const std::string& name : older) {
        if (auto deleted = delete_checkpoint(domain, name, place_.is_local()); !deleted) return deleted;
        ledger_.forget("checkpoint", name);
    }
    // Those that were gone already.
    for (const std::string& name : bases_) ledger_.forget("checkpoint", name);
    return {};
}

void Running::end(const hyper_call& call, hyper_outcome outcome) {
    auto all = [&]() -> Outcome<void> {
        // First of all, since the change id stands for the new checkpoint from now on: should this process be killed, it stays.
        if (outcome == HYPER_KEPT && !plan_.checkpoint.empty()) {
            for (const std::string& name : bases_)
                if (auto noted = ledger_.note("checkpoint", name); !noted) return noted;
            ledger_.forget("checkpoint", plan_.checkpoint);
        }
        auto connect = connect_to(place_.connect);
        if (!connect) return tl::unexpected(connect.error());
        auto domain = find_domain(connect->get(), uuid_);
        if (!domain) return tl::unexpected(domain.error());
        if (auto ended = end_job(call, domain->get(), plan_.socket, begun_); !ended) return ended;
        ledger_.forget("backup", tag_);
        remove_files("scratch");
        remove_files("socket");
        return settle_marks(domain->get(), outcome);
    };
    if (auto done = all(); !done) ledger_.host().log(HYPER_LOG_WARNING, done.error().message + "; it stays in the ledger");
}

}  // namespace

Outcome<std::unique_ptr<Held>> hold_running(const hyper_call& call, Ledger ledger, const HoldWish& wish, std::vector<HeldDisk>& disks) {
    auto running = std::make_unique<Running>(std::move(ledger), wish.place, wish.guest.uuid);
    if (auto begun = running->begin(wish, disks); !begun) {
        running->end(call, HYPER_ABANDONED);
        return tl::unexpected(begun.error());
    }
    return running;
}

}  // namespace hyper::provider::libvirt
