// SPDX-License-Identifier: Apache-2.0
#include "tests/volume/power_cut.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "tests/support/support.h"

namespace hyper::test {

namespace {

namespace fs = std::filesystem;

struct stat status_of(int fd) {
    struct stat status {};
    ::fstat(fd, &status);
    return status;
}

fs::path path_of(int fd) { return fs::read_symlink("/proc/self/fd/" + std::to_string(fd)); }

std::map<std::string, ino_t> list(const std::string& folder) {
    std::map<std::string, ino_t> names;
    for (const auto& entry : fs::directory_iterator(folder)) {
        struct stat status {};
        ::stat(entry.path().c_str(), &status);
        names[entry.path().filename()] = status.st_ino;
    }
    return names;
}

std::vector<std::byte> content_of(int fd) {
    std::vector<std::byte> bytes(static_cast<size_t>(status_of(fd).st_size));
    EXPECT_EQ(::pread(fd, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    return bytes;
}

}  // namespace

void PowerCutIo::watch(const std::string& folder) {
    folder_ = folder;
    contents_.clear();
    dropped_.clear();
    sync_failed_ = false;
    late_data_ = -1;
    cut_done_ = false;
    names_ = list(folder);
    for (const auto& [name, inode] : names_) contents_[inode] = read_file(folder + "/" + name);
}

void PowerCutIo::cut_power(unsigned operations, const std::string& image) {
    image_ = image;
    until_cut_ = operations;
    if (operations == 0) make_image();
}

void PowerCutIo::cut_power_after(const std::string& name, const std::string& image) {
    armed_ = name;
    armed_image_ = image;
}

void PowerCutIo::finish_image() {
    if (!image_.empty()) make_image();
}

void PowerCutIo::tick() {
    if (!image_.empty() && --until_cut_ == 0) make_image();
}

void PowerCutIo::write(std::span<WriteOp> ops) {
    for (WriteOp& op : ops) {
        if (!armed_.empty() && path_of(op.fd).filename() == armed_) {
            armed_.clear();
            cut_power(2 + static_cast<unsigned>(random_() % 5), armed_image_);
        }
        tick();
        if (!one_in(failing_writes)) {
            PassingIo::write({&op, 1});
            continue;
        }
        WriteOp part = op;
        part.buffer = part.buffer.first(random_() % (op.buffer.size() + 1));
        PassingIo::write({&part, 1});
        op.error = ENOSPC;
    }
}

int PowerCutIo::sync(int fd) {
    tick();
    std::string name = path_of(fd).filename();
    bool folder = S_ISDIR(status_of(fd).st_mode), data = name == "data";
    if (one_in(failing_syncs)) {
        if (!folder) lose(fd);
        sync_failed_ = true;
        return EIO;
    }
    if (data && lie_ == Lie::data_synced_after_map) late_data_ = fd;
    bool skipped = (folder && lie_ == Lie::folder_never_synced) ||
                   (data && (lie_ == Lie::data_never_synced || lie_ == Lie::data_synced_after_map)) ||
                   (!folder && !data && lie_ == Lie::map_never_synced);
    if (!skipped) make_durable(fd);
    if (!data && late_data_ >= 0) {
        tick();
        make_durable(std::exchange(late_data_, -1));
    }
    return 0;
}

void PowerCutIo::make_durable(int fd) {
    struct stat status = status_of(fd);
    if (S_ISDIR(status.st_mode)) {
        if (path_of(fd) == folder_) names_ = list(folder_);
        return;
    }
    Content present = content_of(fd);
    Content& durable = contents_[status.st_ino];
    for (auto& [unit, bytes] : dropped_[status.st_ino]) {
        size_t at = unit * unit_bytes, length = std::min(bytes.size(), present.size() - std::min(at, present.size()));
        if (!std::equal(bytes.begin(), bytes.end(), present.begin() + static_cast<ptrdiff_t>(at),
                        present.begin() + static_cast<ptrdiff_t>(at + length)))
            continue;
        for (size_t i = at; i < at + length; ++i) present[i] = i < durable.size() ? durable[i] : std::byte{0};
    }
    durable = std::move(present);
}

// As Linux does: what could not be written counts as clean from now on.
void PowerCutIo::lose(int fd) {
    ino_t inode = status_of(fd).st_ino;
    Content present = content_of(fd), &durable = contents_[inode];
    for (size_t at = 0; at < present.size(); at += unit_bytes) {
        Content unit(present.begin() + static_cast<ptrdiff_t>(at),
                     present.begin() + static_cast<ptrdiff_t>(std::min(at + unit_bytes, present.size())));
        bool same = at + unit.size() <= durable.size() &&
                    std::equal(unit.begin(), unit.end(), durable.begin() + static_cast<ptrdiff_t>(at));
        if (!same && random_() % 2 == 0) dropped_[inode][at / unit_bytes] = std::move(unit);
    }
}

PowerCutIo::Content PowerCutIo::mixed(const Content& durable, const Content& present) {
    unsigned share = std::array<unsigned, 4>{0, 2, 50, 100}[random_() % 4];
    auto present_wins = [&] { return random_() % 100 < share; };
    size_t least = std::min(durable.size(), present.size()), most = std::max(durable.size(), present.size());
    Content result(present_wins() ? present.size() : random_() % 2 == 0 ? durable.size() : least + random_() % (most - least + 1));
    for (size_t at = 0; at < result.size(); at += unit_bytes) {
        const Content& from = present_wins() ? present : durable;
        for (size_t i = at; i < std::min(at + unit_bytes, result.size()); ++i)
            result[i] = i < from.size() ? from[i] : std::byte{0};
    }
    return result;
}

void PowerCutIo::make_image() {
    fs::create_directory(image_);
    auto present = list(folder_);
    auto all = present;
    all.insert(names_.begin(), names_.end());
    for (const auto& [name, ignored] : all) {
        const auto& from = random_() % 2 == 0 ? present : names_;
        auto found = from.find(name);
        if (found == from.end()) continue;
        auto holder = std::ranges::find_if(present, [&](const auto& entry) { return entry.second == found->second; });
        const Content& durable = contents_[found->second];
        // A file that has no name any more is not written to either.
        write_file(image_ + "/" + name,
                   holder == present.end() ? durable : mixed(durable, read_file(folder_ + "/" + holder->first)));
    }
    image_.clear();
    cut_done_ = true;
}

}  // namespace hyper::test
