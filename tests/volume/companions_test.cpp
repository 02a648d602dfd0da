// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/companions.h"

#include <filesystem>
#include <fstream>

#include "blockengine/base/hex.h"
#include "blockengine/volume/repair.h"
#include "tests/volume/fixture.h"

namespace hyper {
namespace {

namespace fs = std::filesystem;

class VolumeCompanions : public test::VolumeTest {
  protected:
    Result<SyncReport> try_sync_with(std::vector<CompanionContent> companions) {
        auto bytes = random_disk(100000);
        return sync_volume(*writer_, {test::disk_of(engine_, bytes), "memory", nullptr, std::move(companions)}, {});
    }
    void sync_with(std::vector<CompanionContent> companions) {
        auto report = try_sync_with(std::move(companions));
        ASSERT_TRUE(report) << report.error().message;
    }
    // Name and bytes of what a generation has, with ";" behind each.
    std::string read(uint32_t number) {
        auto generation = writer_->volume()->find(std::to_string(number));
        if (!generation) return generation.error().message;
        auto all = read_companions(*writer_->volume(), *generation);
        if (!all) return errno_text(all.error().code);
        std::string text;
        for (const auto& [name, bytes] : *all) text += name + "=" + bytes + ";";
        return text;
    }
    std::vector<fs::path> files() const {
        std::vector<fs::path> found;
        std::error_code none;
        for (const auto& entry : fs::directory_iterator(path_ + "/companions", none)) found.push_back(entry.path());
        return found;
    }
    static void write(const fs::path& path, std::string_view text) { std::ofstream(path, std::ios::trunc) << text; }
    static std::string name_of(std::string_view bytes) { return hex(sha256({bytes_of_text(bytes)})); }
};

TEST_F(VolumeCompanions, of_each_generation_are_what_they_were) {
    make();
    sync_with({{"domain.xml", "<a/>"}, {"nvram", std::string(300000, 'n')}});
    sync_with({});
    sync_with({{"domain.xml", "<b/>"}, {"empty", ""}});
    reopen();
    EXPECT_EQ(read(1), "domain.xml=<a/>;nvram=" + std::string(300000, 'n') + ";");
    EXPECT_EQ(read(2), "");
    EXPECT_EQ(read(3), "domain.xml=<b/>;empty=;");
}

TEST_F(VolumeCompanions, that_are_the_same_are_stored_once) {
    make();
    for (int i = 0; i < 3; ++i) sync_with({{"domain.xml", "<a/>"}, {"copy.xml", "<a/>"}});
    ASSERT_EQ(files().size(), 1u);
    EXPECT_EQ(files()[0].filename().string(), name_of("<a/>"));
}

TEST_F(VolumeCompanions, go_with_the_last_generation_that_has_them) {
    make();
    sync_with({{"domain.xml", "<a/>"}});
    sync_with({{"domain.xml", "<a/>"}, {"nvram", "n"}});
    sync_with({});
    ASSERT_TRUE(writer_->prune(1));
    EXPECT_EQ(files().size(), 2u);
    EXPECT_EQ(read(2), "domain.xml=<a/>;nvram=n;");
    ASSERT_TRUE(writer_->prune(2));
    EXPECT_TRUE(files().empty());
}

TEST_F(VolumeCompanions, of_a_sync_that_was_killed_go_when_the_volume_is_written_next) {
    make();
    sync_with({{"domain.xml", "<a/>"}});
    const std::string folder = path_ + "/companions/";
    write(folder + name_of("<b/>"), "<b/>");
    write(folder + name_of("<c/>") + ".new", "<");
    reopen();
    ASSERT_EQ(files().size(), 1u);
    EXPECT_EQ(read(1), "domain.xml=<a/>;");
}

TEST_F(VolumeCompanions, that_were_damaged_or_lost_are_said_to_be_and_made_good_by_the_next_sync) {
    make();
    sync_with({{"domain.xml", "<a/>"}});
    const fs::path file = files().at(0);
    for (const char* damaged : {"<b/>", "<a/> and more", ""}) {
        write(file, damaged);
        EXPECT_EQ(read(1), errno_text(EIO)) << damaged;
        auto report = verify_generation(*writer_->volume(), *writer_->volume()->find("1"), {});
        ASSERT_TRUE(report);
        EXPECT_EQ(report->verdict(), Verdict::corrupt);
        ASSERT_EQ(report->bad_companions.size(), 1u);
        EXPECT_EQ(report->bad_companions[0].name, "domain.xml");
    }
    fs::remove(file);
    EXPECT_EQ(read(1), errno_text(EIO));
    writer_ = nullptr;
    auto repaired = repair_volume(engine_, path_, {});
    ASSERT_TRUE(repaired);
    EXPECT_FALSE(repaired->all_good());
    EXPECT_EQ(repaired->companions.size(), 1u);
    reopen();
    write(file, "<b/>");
    sync_with({{"domain.xml", "<a/>"}});
    EXPECT_EQ(read(1), "domain.xml=<a/>;");
}

TEST_F(VolumeCompanions, are_still_known_when_the_index_was_made_anew) {
    make();
    sync_with({{"domain.xml", "<a/>"}, {"nvram", "n"}});
    sync_with({{"domain.xml", "<b/>"}});
    ASSERT_TRUE(writer_->prune(1));
    writer_ = nullptr;
    auto repaired = repair_volume(engine_, path_, {.rebuild_index = true, .planned = {}, .done = {}, .stop = {}});
    ASSERT_TRUE(repaired) << repaired.error().message;
    EXPECT_TRUE(repaired->all_good());
    reopen();
    EXPECT_EQ(read(2), "domain.xml=<b/>;");
    EXPECT_EQ(files().size(), 1u);
}

TEST_F(VolumeCompanions, stay_when_the_generation_is_pinned) {
    make();
    sync_with({{"domain.xml", "<a/>"}});
    ASSERT_TRUE(writer_->set_pinned(1, true));
    reopen();
    EXPECT_EQ(read(1), "domain.xml=<a/>;");
}

TEST_F(VolumeCompanions, with_names_that_lead_elsewhere_or_too_many_are_refused) {
    make();
    for (const char* name : {"", ".", "..", "../x", "a/b", ".hidden", "a b", "a\nb"})
        EXPECT_EQ(try_sync_with({{name, "x"}}).error().code, EINVAL) << name;
    reopen();
    EXPECT_EQ(try_sync_with({{"a", "1"}, {"a", "2"}}).error().code, EINVAL);
    reopen();
    EXPECT_EQ(try_sync_with({{std::string(65, 'a'), "1"}}).error().code, EINVAL);
    reopen();
    EXPECT_EQ(try_sync_with(std::vector<CompanionContent>(65, {"a", "1"})).error().code, EINVAL);
    reopen();
    EXPECT_EQ(try_sync_with({{"a", std::string(companion_bytes_max + 1, 'a')}}).error().code, EFBIG);
    EXPECT_TRUE(writer_->volume()->generations()->empty());
}

TEST_F(VolumeCompanions, in_a_generation_s_text_that_cannot_be_are_refused) {
    Generation generation;
    generation.number = 1;
    generation.companions = {{"domain.xml", 4, {}}};
    std::string good = generation.to_json();
    auto parsed = Generation::from_json(good);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->companions.at(0).name, "domain.xml");
    for (auto [from, to] : {std::pair{"domain.xml", "../x"}, {":4,", ":67108865,"}, {":4,", ":-1,"}, {"\"sha256\"", "\"sha1\""}, {"0000", "000"}}) {
        std::string bad = good;
        size_t at = bad.find(from, bad.find("\"companions\""));
        ASSERT_NE(at, std::string::npos) << from;
        EXPECT_FALSE(Generation::from_json(bad.replace(at, std::string_view(from).size(), to))) << bad;
    }
}

}  // namespace
}  // namespace hyper
