// SPDX-License-Identifier: Apache-2.0
// Of the freeze, seen from libvirt: its own test driver has a running domain, and the calls that matter are taken down here instead.
#include "providers/libvirt/frozen.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "providers/libvirt/held.h"

namespace {

std::vector<std::string> calls;
bool freeze_works, begin_works, thaw_works;

}  // namespace

// Those of libvirt are not reached by a program that has its own.
extern "C" {
int virDomainFSFreeze(virDomainPtr, const char**, unsigned, unsigned) {
    calls.push_back("freeze");
    return freeze_works ? 1 : -1;
}
int virDomainFSThaw(virDomainPtr, const char**, unsigned, unsigned) {
    calls.push_back("thaw");
    return thaw_works ? 1 : -1;
}
int virDomainBackupBegin(virDomainPtr, const char*, const char*, unsigned) {
    calls.push_back("begin");
    return begin_works ? 0 : -1;
}
}

namespace hyper::provider::libvirt {
namespace {

class LibvirtFrozen : public testing::Test {
  protected:
    LibvirtFrozen() {
        calls.clear();
        freeze_works = begin_works = thaw_works = true;
        connect_ = std::move(*connect_to("test:///default"));
        domain_ = std::move(*find_domain(connect_.get(), "test"));
        place_.connect = "test:///default";
        place_.scratch = testing::TempDir();
        guest_.name = "test";
        guest_.uuid = uuid_of(domain_.get());
        guest_.agent_answers = true;
    }

    static hyper_failure note(const hyper_host*, const char*, const char* kind, const char*, uint64_t* entry, hyper_error*) {
        calls.push_back(std::string("note ") + kind);
        *entry = 1;
        return HYPER_OK;
    }
    static const hyper_host* host() {
        static const hyper_host table{sizeof table, [](const hyper_host*, hyper_log_level, const char*) {}, note,
                                      [](const hyper_host*, uint64_t) { calls.push_back("forget"); },
                                      [](const hyper_host*, char text[33]) { std::strcpy(text, "unique"); }};
        return &table;
    }

    bool hold() {
        std::vector<HeldDisk> disks(1);
        disks[0].disk = {"vda", "file", "/image", "raw"};
        hyper_call call{sizeof call, 0, nullptr};
        return hold_running(call, Ledger(Host(host()), "here"), {place_, guest_, domain_.get(), false}, disks).has_value();
    }
    // Without the notes of other things.
    std::vector<std::string> calls_made() const {
        std::vector<std::string> made;
        for (const std::string& call : calls)
            if (call == "freeze" || call == "thaw" || call == "begin" || call == "note freeze") made.push_back(call);
        return made;
    }

    Quiet quiet_;
    Connect connect_;
    Domain domain_;
    Place place_;
    Guest guest_;
};

using Calls = std::vector<std::string>;

TEST_F(LibvirtFrozen, is_noted_before_and_thawed_at_once_after_the_job_began) {
    EXPECT_TRUE(hold());
    EXPECT_EQ(calls_made(), (Calls{"note freeze", "freeze", "begin", "thaw"}));
}

TEST_F(LibvirtFrozen, is_thawed_where_the_job_does_not_begin) {
    begin_works = false;
    EXPECT_FALSE(hold());
    EXPECT_EQ(calls_made(), (Calls{"note freeze", "freeze", "begin", "thaw"}));
}

TEST_F(LibvirtFrozen, is_thawed_where_the_agent_froze_a_part) {
    freeze_works = false;
    EXPECT_TRUE(hold());
    EXPECT_EQ(calls_made(), (Calls{"note freeze", "freeze", "thaw", "begin"}));
}

TEST_F(LibvirtFrozen, fails_the_snapshot_where_it_was_insisted_on) {
    place_.quiesce = Quiesce::yes;
    freeze_works = false;
    EXPECT_FALSE(hold());
    EXPECT_EQ(calls_made(), (Calls{"note freeze", "freeze", "thaw"}));
}

TEST_F(LibvirtFrozen, is_not_tried_without_an_agent_or_a_wish) {
    guest_.agent_answers = false;
    EXPECT_TRUE(hold());
    guest_.agent_answers = true;
    place_.quiesce = Quiesce::no;
    EXPECT_TRUE(hold());
    EXPECT_EQ(calls_made(), (Calls{"begin", "begin"}));
}

TEST_F(LibvirtFrozen, stays_noted_where_the_thaw_fails) {
    Ledger ledger(Host(host()), "here");
    thaw_works = false;
    { auto frozen = Frozen::freeze(ledger, domain_.get(), "hyper-tag"); }
    EXPECT_TRUE(ledger.has("freeze", "hyper-tag"));
    thaw_works = true;
    { auto frozen = Frozen::freeze(ledger, domain_.get(), "hyper-other"); }
    EXPECT_FALSE(ledger.has("freeze", "hyper-other"));
}

}  // namespace
}  // namespace hyper::provider::libvirt
