// SPDX-License-Identifier: Apache-2.0
#include "providers/libvirt/connection.h"

#include <algorithm>

#include "providers/libvirt/guest.h"
#include "providers/libvirt/held.h"
#include "providers/libvirt/snapshot.h"

namespace hyper::provider::libvirt {
namespace {

Outcome<std::vector<Domain>> domains_of(virConnect* connect, const std::string& only) {
    std::vector<Domain> domains;
    if (!only.empty()) {
        auto domain = find_domain(connect, only);
        if (!domain) return tl::unexpected(domain.error());
        domains.push_back(std::move(*domain));
        return domains;
    }
    virDomainPtr* found = nullptr;
    int count = virConnectListAllDomains(connect, &found, 0);
    if (count < 0) return tl::unexpected(last_failure("list domains"));
    for (int i = 0; i < count; ++i) domains.emplace_back(found[i]);
    free(found);
    return domains;
}

uint64_t size_of(virDomain* domain, const GuestDisk& disk) {
    virDomainBlockInfo info{};
    return virDomainGetBlockInfo(domain, disk.target.c_str(), &info, 0) == 0 ? info.capacity : 0;
}

// What an earlier snapshot's change id says, as far as it can still be true.
void look_at_since(const std::string& since, HeldDisk& held) {
    held.since = since;
    if (since.empty()) {
        held.lost = "there is nothing to compare with";
    } else if (!Mark::parse(since, held.base)) {
        held.lost = "\"" + since + "\" is no change id of this provider";
    } else if (held.base.target != held.disk.target) {
        held.lost = "change id " + since + " is of another disk";
    } else if (held.base.size_bytes != held.size_bytes) {
        held.lost = "the disk was resized, from " + std::to_string(held.base.size_bytes) + " bytes to " + std::to_string(held.size_bytes);
    }
}

}  // namespace

LibvirtConnection::LibvirtConnection(Host host, Place place) : host_(host), place_(std::move(place)) {
    if (!place_.target.empty()) disk_ = place_.domain + "/" + place_.target;
}

Outcome<std::unique_ptr<Connection>> LibvirtConnection::open(Host host, const hyper_call&, const std::string& uri, const Options& options) {
    auto place = Place::parse(uri, options);
    if (!place) return tl::unexpected(place.error());
    return std::unique_ptr<Connection>(new LibvirtConnection(host, std::move(*place)));
}

Outcome<void> LibvirtConnection::list(const hyper_call& call, const std::function<bool(const FoundDisk&)>& found) {
    auto connect = connect_to(place_.connect);
    if (!connect) return tl::unexpected(connect.error());
    auto domains = domains_of(connect->get(), place_.domain);
    if (!domains) return tl::unexpected(domains.error());
    for (const Domain& domain : *domains) {
        if (given_up(call)) return failed(HYPER_RETRY_LATER, "libvirt: list domains: not done in time");
        auto xml = xml_of(domain.get(), 0);
        // It may have been removed since it was listed.
        auto guest = xml ? parse_guest(*xml) : Outcome<Guest>(tl::unexpected(xml.error()));
        if (!guest) continue;
        for (const GuestDisk& disk : guest->disks) {
            if (!place_.target.empty() && place_.target != disk.target) continue;
            std::string detail = (is_active(domain.get()) ? "running, " : "stopped, ") + disk.format +
                                 (disk.source.empty() ? " of type " + disk.type : " on " + disk.source);
            if (!found({guest->name + "/" + disk.target, size_of(domain.get(), disk), detail, disk.tracks_changes()})) return {};
        }
    }
    return {};
}

Outcome<void> LibvirtConnection::check(const hyper_call&, const std::string& disk, const Finding& finding) {
    DiskName name{place_.domain, place_.target};
    if (!disk.empty()) {
        auto parsed = DiskName::parse(disk, place_);
        if (!parsed) return tl::unexpected(parsed.error());
        name = *parsed;
    }
    auto connect = connect_to(place_.connect);
    if (!connect) {
        finding(HYPER_BAD, "libvirt", connect.error().message);
        return {};
    }
    finding(HYPER_GOOD, "libvirt", "answers at " + place_.connect);
    auto domains = domains_of(connect->get(), name.domain);
    if (!domains) {
        finding(HYPER_BAD, "domain", domains.error().message);
        return {};
    }
    for (const Domain& domain : *domains) check_domain(domain.get(), place_, name.target, finding);
    return {};
}

Outcome<std::unique_ptr<Snapshot>> LibvirtConnection::take_snapshot(const hyper_call& call, const Wish& wish) {
    auto connect = connect_to(place_.connect);
    if (!connect) return tl::unexpected(connect.error());
    std::vector<DiskName> names;
    for (const std::string& text : wish.disks) {
        auto name = DiskName::parse(text, place_);
        if (!name) return tl::unexpected(name.error());
        names.push_back(std::move(*name));
    }
    if (names.empty()) return failed(HYPER_BAD_CONFIGURATION, "libvirt: a snapshot of no disk");
    auto domain = find_domain(connect->get(), names.front().domain);
    if (!domain) return tl::unexpected(domain.error());
    auto xml = xml_of(domain->get(), 0);
    if (!xml) return tl::unexpected(xml.error());
    auto guest = parse_guest(*xml);
    if (!guest) return tl::unexpected(guest.error());

    std::vector<HeldDisk> disks;
    for (size_t i = 0; i < names.size(); ++i) {
        if (names[i].domain != names.front().domain)
            return failed(HYPER_BAD_CONFIGURATION, "libvirt: disks of several domains (" + names.front().domain + ", " + names[i].domain +
                                                       ") have no moment in common: take a snapshot of each");
        const GuestDisk* disk = guest->disk(names[i].target);
        if (disk == nullptr)
            return failed(HYPER_BAD_CONFIGURATION, "libvirt: domain " + guest->name + " has no disk " + names[i].target);
        bool twice = std::any_of(disks.begin(), disks.end(), [&](const HeldDisk& held) { return held.disk.target == disk->target; });
        if (twice) return failed(HYPER_BAD_CONFIGURATION, "libvirt: disk " + names[i].target + " is wished twice");
        HeldDisk held;
        held.disk = *disk;
        held.size_bytes = size_of(domain->get(), *disk);
        look_at_since(i < wish.since.size() ? wish.since[i] : "", held);
        disks.push_back(std::move(held));
    }

    std::vector<Companion> companions = companions_of(domain->get(), *guest, place_);
    Ledger ledger(host_, place_.uri_of(guest->uuid));
    HoldWish hold{place_, *guest, domain->get(), wish.track};
    auto held = is_active(domain->get()) ? hold_running(call, std::move(ledger), hold, disks)
                                         : hold_stopped(call, std::move(ledger), hold, disks);
    if (!held) return tl::unexpected(held.error());
    std::vector<NbdExport> exports;
    for (const HeldDisk& disk : disks) exports.push_back(disk.from);
    auto reader = NbdReader::open(std::move(exports), call);
    if (!reader) {
        (*held)->end(call, HYPER_ABANDONED);
        return tl::unexpected(reader.error());
    }
    return std::make_unique<LibvirtSnapshot>(guest->uuid, std::move(*held), std::move(*reader), disks, std::move(companions));
}

Outcome<void> LibvirtConnection::clean(const hyper_call& call, const std::string& kind, const std::string& id) {
    return clean_up(call, place_, kind, id);
}

Outcome<void> LibvirtConnection::define(const hyper_call&, const Machine& machine) { return define_domain(host_, place_, machine); }

}  // namespace hyper::provider::libvirt
