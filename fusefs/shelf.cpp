// SPDX-License-Identifier: Apache-2.0
#include "fusefs/shelf.h"

#include <algorithm>
#include <cerrno>

#include "blockengine/base/bytes.h"

namespace hyper {

namespace {

// Exact for most disks; for one of very many extents the rest is assumed to be like what was seen
// in this time.
constexpr std::chrono::milliseconds counting_time_max{20};
constexpr uint64_t counting_step_bytes = 4 * GiB;

uint64_t count_allocated(const Source& source) {
    auto deadline = std::chrono::steady_clock::now() + counting_time_max;
    uint64_t size = source.size_bytes(), allocated = 0, at = 0;
    do {
        uint64_t length = std::min(counting_step_bytes, size - at), here = 0;
        auto visited = visit_extents(source, at, length, [&](const Extent& extent) {
            if (!extent.zero) here += extent.length;
            return true;
        });
        // What is damaged is not zero for sure; the error is for those who read there.
        allocated += visited ? here : length;
        at += length;
    } while (at < size && std::chrono::steady_clock::now() < deadline);
    if (at == size) return allocated;
    double share = static_cast<double>(allocated) / static_cast<double>(at);
    // Less than all, so that programs go and look for holes.
    return std::min(static_cast<uint64_t>(share * static_cast<double>(size)), size - sector_bytes);
}

}  // namespace

Result<std::shared_ptr<const OpenFile>> Shelf::open(const std::string& export_name) {
    let_go();
    std::list<Kept> dropped;
    {
        std::lock_guard lock(mutex_);
        if (auto found = files_.find(export_name); found != files_.end()) {
            if (auto file = found->second.lock()) {
                keep(file, dropped);
                return file;
            }
        }
    }
    std::shared_ptr<const Source> source = TRY(catalog_.open_export(export_name));
    uint64_t allocated_bytes = count_allocated(*source);
    std::lock_guard lock(mutex_);
    auto file = put(files_, export_name, std::move(source), nullptr, allocated_bytes);
    keep(file, dropped);
    return file;
}

Result<std::shared_ptr<const OpenFile>> Shelf::open_for_writing(const std::string& export_name) {
    if (auto file = held_for_writing(export_name)) return file;
    std::shared_ptr<WritableDisk> disk = TRY(writable_->open(export_name));
    if (!disk) return fail(EACCES, "{}: cannot be written", export_name);
    std::shared_ptr<const Source> source = source_of(disk);
    uint64_t allocated_bytes = count_allocated(*source);
    std::lock_guard lock(mutex_);
    return put(written_, export_name, std::move(source), std::move(disk), allocated_bytes);
}

std::shared_ptr<const OpenFile> Shelf::held_for_writing(const std::string& export_name) {
    std::lock_guard lock(mutex_);
    auto found = written_.find(export_name);
    return found == written_.end() ? nullptr : found->second.lock();
}

std::shared_ptr<const OpenFile> Shelf::put(Files& files, const std::string& export_name, std::shared_ptr<const Source> source,
                                           std::shared_ptr<WritableDisk> disk, uint64_t allocated_bytes) {
    std::weak_ptr<const OpenFile>& slot = files[export_name];
    std::shared_ptr<const OpenFile> file = slot.lock();
    if (!file) {
        file = std::make_shared<OpenFile>(std::move(source), std::move(disk), next_serial_++, allocated_bytes);
        slot = file;
    }
    return file;
}

void Shelf::keep(const std::shared_ptr<const OpenFile>& file, std::list<Kept>& dropped) {
    if (std::ranges::any_of(kept_, [&](const Kept& kept) { return kept.file == file; })) return;
    kept_.push_front({Clock::now(), file});
    if (kept_.size() > kept_max) dropped.splice(dropped.end(), kept_, std::prev(kept_.end()));
}

void Shelf::let_go() {
    std::list<Kept> dropped;
    std::lock_guard lock(mutex_);
    while (!kept_.empty() && Clock::now() - kept_.back().since > kept_for) dropped.splice(dropped.end(), kept_, std::prev(kept_.end()));
}

}  // namespace hyper
