// SPDX-License-Identifier: Apache-2.0
#include "providers/libvirt/companions.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace hyper::provider::libvirt {
namespace {

class LibvirtCompanions : public testing::Test {
  protected:
    LibvirtCompanions() {
        setenv("XDG_CONFIG_HOME", folder_.c_str(), 1);
        guest_.uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f";
        guest_.nvram = folder_ + "/vars.fd";
        guest_.has_tpm = true;
        std::string tpm = folder_ + "/libvirt/qemu/swtpm/" + guest_.uuid + "/tpm2";
        std::filesystem::create_directories(tpm);
        std::ofstream(guest_.nvram) << "variables";
        std::ofstream(tpm + "/tpm2-00.permall") << std::string("\0state", 6);
    }
    ~LibvirtCompanions() override { std::filesystem::remove_all(folder_); }

    std::string bytes_of(const std::string& name, const std::string& connect = "qemu:///session") const {
        Place place;
        place.connect = connect;
        auto all = companions_of(domain_.get(), guest_, place);
        auto at = std::find_if(all.begin(), all.end(), [&](const Companion& companion) { return companion.first == name; });
        return at == all.end() ? "(none)" : at->second;
    }

    Quiet quiet_;
    std::string folder_ = testing::TempDir() + "companions" + std::to_string(getpid());
    Connect connect_ = std::move(*connect_to("test:///default"));
    Domain domain_ = std::move(*find_domain(connect_.get(), "test"));
    Guest guest_;
};

TEST_F(LibvirtCompanions, are_the_descriptions_the_variables_and_the_state_of_the_tpm) {
    EXPECT_NE(bytes_of("domain.xml").find("<name>test</name>"), std::string::npos);
    EXPECT_NE(bytes_of("domain-live.xml").find("<name>test</name>"), std::string::npos);
    EXPECT_EQ(bytes_of("nvram"), "variables");
    EXPECT_EQ(bytes_of("tpm2-00.permall"), std::string("\0state", 6));
}

TEST_F(LibvirtCompanions, leave_out_files_that_are_not_there) {
    std::filesystem::remove(guest_.nvram);
    EXPECT_EQ(bytes_of("nvram"), "(none)");
}

TEST_F(LibvirtCompanions, of_the_system_are_not_those_of_a_session) { EXPECT_EQ(bytes_of("tpm2-00.permall", "qemu:///system"), "(none)"); }

TEST_F(LibvirtCompanions, of_another_machine_are_the_descriptions_alone) {
    EXPECT_NE(bytes_of("domain.xml", "qemu+ssh://host/session"), "(none)");
    EXPECT_EQ(bytes_of("nvram", "qemu+ssh://host/session"), "(none)");
    EXPECT_EQ(bytes_of("tpm2-00.permall", "qemu+ssh://host/session"), "(none)");
}

}  // namespace
}  // namespace hyper::provider::libvirt
