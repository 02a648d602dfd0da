// SPDX-License-Identifier: Apache-2.0
// Drives a provider by hand, for tests: provider_driver MODULE LEDGER URI. Takes commands on its standard input, a line each with words
// between single spaces, and answers each with a line of JSON: {"failure": 0, ...}, or the failure's number and "message".
//
//     list                               disks
//     check [DISK]                       findings
//     take track|plain DISK SINCE ...    a snapshot of several disks; SINCE is a change id, or "-"
//     describe DISK                      by number, as in what follows
//     copy DISK FILE                     the whole disk, by reads of 256 KiB, eight at a time
//     extents DISK, changed DISK         runs with a flag, as [offset, length]
//     companions FOLDER                  into files
//     release kept|abandoned
//     ledger                             what is noted
//     cleanup                            cleans what processes left behind that are there no more
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <condition_variable>
#include <fstream>
#include <iostream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>

#include "blockengine/base/unique_fd.h"
#include "providers/ledger.h"
#include "providers/module.h"

namespace {

using hyper::Ledger;
using hyper::Module;
using nlohmann::json;

hyper_call call_for(int seconds) {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return {sizeof(hyper_call), (int64_t{now.tv_sec} + seconds) * 1'000'000'000, [](const hyper_call*) { return false; }};
}

hyper_error no_error() {
    hyper_error error{};
    error.size = sizeof error;
    return error;
}

json answer(hyper_failure failure, const hyper_error& error) {
    json told{{"failure", failure}};
    if (failure != HYPER_OK) told["message"] = error.message;
    return told;
}

struct Driver {
    std::shared_ptr<const Module> module;
    Ledger& ledger;
    std::string uri;
    void *connection = nullptr, *snapshot = nullptr;

    const hyper_provider& table() const { return module->table(); }

    json open(const std::string& at, void** opened) const {
        hyper_call call = call_for(60);
        hyper_error error = no_error();
        const char* disk = nullptr;
        hyper_failure failure = table().open(module->host(), &call, at.c_str(), nullptr, 0, opened, &disk, &error);
        json told = answer(failure, error);
        if (failure == HYPER_OK && disk != nullptr) told["disk"] = disk;
        return told;
    }

    json list() const {
        hyper_call call = call_for(60);
        hyper_error error = no_error();
        json disks = json::array();
        auto found = [](void* opaque, const hyper_disk* disk) {
            static_cast<json*>(opaque)->push_back(
                {{"name", disk->name}, {"size", disk->size_bytes}, {"detail", disk->detail}, {"tracks", disk->tracks_changes}});
            return true;
        };
        json told = answer(table().list(connection, &call, found, &disks, &error), error);
        told["disks"] = disks;
        return told;
    }

    json check(const std::string& disk) const {
        hyper_call call = call_for(60);
        hyper_error error = no_error();
        json findings = json::array();
        auto finding = [](void* opaque, hyper_verdict verdict, const char* what, const char* text) {
            static_cast<json*>(opaque)->push_back({{"verdict", verdict}, {"what", what}, {"text", text}});
        };
        json told = answer(table().check(connection, &call, disk.empty() ? nullptr : disk.c_str(), finding, &findings, &error), error);
        told["findings"] = findings;
        return told;
    }

    json take(const std::vector<std::string>& words) {
        std::vector<const char*> disks, since;
        for (size_t i = 2; i + 1 < words.size(); i += 2) {
            disks.push_back(words[i].c_str());
            since.push_back(words[i + 1] == "-" ? nullptr : words[i + 1].c_str());
        }
        hyper_snapshot_wish wish{sizeof wish, disks.data(), disks.size(), words.at(1) == "track", since.data()};
        hyper_call call = call_for(120);
        hyper_error error = no_error();
        return answer(table().take_snapshot(connection, &call, &wish, &snapshot, &error), error);
    }

    hyper_snapshot_disk facts(uint32_t disk) const {
        hyper_snapshot_disk told{};
        told.size = sizeof told;
        hyper_error error = no_error();
        if (table().describe(snapshot, disk, &told, &error) != HYPER_OK) throw std::runtime_error(error.message);
        return told;
    }

    json describe(uint32_t disk) const {
        hyper_snapshot_disk told = facts(disk);
        auto text = [](const char* value) { return value == nullptr ? json() : json(value); };
        return {{"failure", 0},
                {"size", told.size_bytes},
                {"identity", text(told.identity)},
                {"disk_id", text(told.disk_id)},
                {"change_id", text(told.change_id)},
                {"consistency", told.consistency}};
    }

    struct Copy {
        std::mutex mutex;
        std::condition_variable changed;
        size_t under_way = 0;               // guarded by mutex, as what follows
        hyper_failure failure = HYPER_OK;  // the first
        hyper_error error = no_error();
        int fd = -1;
    };
    struct Read : hyper_read {
        Copy* copy;
        std::vector<char> bytes;
    };

    json copy(uint32_t disk, const std::string& path) const {
        hyper::UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
        Copy copy;
        copy.fd = file.get();
        uint64_t size = facts(disk).size_bytes;
        for (uint64_t offset = 0; offset < size; offset += 256 << 10) {
            auto* read = new Read{};
            read->copy = &copy;
            read->bytes.resize(std::min<uint64_t>(256 << 10, size - offset));
            read->size = sizeof(hyper_read);
            read->disk = disk;
            read->offset = offset;
            read->length = read->bytes.size();
            read->buffer = read->bytes.data();
            read->deadline_ns = call_for(60).deadline_ns;
            read->done = [](hyper_read* done, hyper_failure failure, const hyper_error* error) {
                std::unique_ptr<Read> mine(static_cast<Read*>(done));
                bool written = failure != HYPER_OK || pwrite(mine->copy->fd, mine->buffer, mine->length, static_cast<off_t>(mine->offset)) ==
                                                          static_cast<ssize_t>(mine->length);
                std::lock_guard lock(mine->copy->mutex);
                --mine->copy->under_way;
                if (mine->copy->failure == HYPER_OK && failure != HYPER_OK) {
                    mine->copy->failure = failure;
                    mine->copy->error = *error;
                }
                if (!written) mine->copy->failure = HYPER_FATAL;
                mine->copy->changed.notify_all();
            };
            std::unique_lock lock(copy.mutex);
            copy.changed.wait(lock, [&] { return copy.under_way < 8; });
            ++copy.under_way;
            lock.unlock();
            table().read(snapshot, read);
        }
        std::unique_lock lock(copy.mutex);
        copy.changed.wait(lock, [&] { return copy.under_way == 0; });
        return answer(copy.failure, copy.error);
    }

    json runs(uint32_t disk, bool changed) const {
        uint64_t size = facts(disk).size_bytes;
        json found = json::array();
        for (uint64_t offset = 0; offset < size;) {
            hyper_extent page[4];
            size_t count = 4;
            hyper_call call = call_for(60);
            hyper_error error = no_error();
            auto ask = changed ? table().changed : table().extents;
            hyper_failure failure = ask(snapshot, &call, disk, offset, size - offset, page, &count, &error);
            if (failure != HYPER_OK) return answer(failure, error);
            for (size_t i = 0; i < count; offset += page[i++].length)
                if (page[i].flags != 0) found.push_back({offset, page[i].length});
        }
        return {{"failure", 0}, {"runs", found}};
    }

    json companions(const std::string& folder) const {
        hyper_call call = call_for(60);
        hyper_error error = no_error();
        std::pair<std::string, json> to{folder, json::array()};
        auto found = [](void* opaque, const char* name, const void* bytes, size_t length) {
            auto& [into, names] = *static_cast<std::pair<std::string, json>*>(opaque);
            std::ofstream(into + "/" + name, std::ios::binary).write(static_cast<const char*>(bytes), static_cast<std::streamsize>(length));
            names.push_back(name);
            return true;
        };
        json told = answer(table().companions(snapshot, &call, found, &to, &error), error);
        told["names"] = to.second;
        return told;
    }

    json release(bool kept) {
        hyper_call call = call_for(120);
        table().release(std::exchange(snapshot, nullptr), &call, kept ? HYPER_KEPT : HYPER_ABANDONED);
        return {{"failure", 0}};
    }

    json noted() const {
        json entries = json::array();
        auto all = ledger.entries();
        if (all)
            for (const auto& entry : *all) entries.push_back({{"where", entry.where}, {"kind", entry.kind}, {"id", entry.id}});
        return {{"failure", 0}, {"entries", entries}};
    }

    json cleanup() const {
        auto all = ledger.entries();
        json problems = json::array();
        for (const auto& entry : *all) {
            if (!Ledger::orphaned(entry)) continue;
            void* place = nullptr;
            hyper_call call = call_for(60);
            hyper_error error = no_error();
            json opened = open(entry.where, &place);
            hyper_failure failure = opened["failure"];
            if (failure == HYPER_OK) failure = table().clean(place, &call, entry.kind.c_str(), entry.id.c_str(), &error);
            if (place != nullptr) table().close(place);
            if (failure == HYPER_OK)
                ledger.forget(entry);
            else
                problems.push_back(entry.kind + " " + entry.id + ": " + error.message);
        }
        return {{"failure", 0}, {"problems", problems}};
    }

    json obey(const std::vector<std::string>& words) {
        auto number = [&] { return static_cast<uint32_t>(std::stoul(words.at(1))); };
        const std::string& verb = words.at(0);
        if (verb == "list") return list();
        if (verb == "check") return check(words.size() > 1 ? words[1] : "");
        if (verb == "take") return take(words);
        if (verb == "describe") return describe(number());
        if (verb == "copy") return copy(number(), words.at(2));
        if (verb == "extents") return runs(number(), false);
        if (verb == "changed") return runs(number(), true);
        if (verb == "companions") return companions(words.at(1));
        if (verb == "release") return release(words.at(1) == "kept");
        if (verb == "ledger") return noted();
        if (verb == "cleanup") return cleanup();
        if (verb == "clean") {
            hyper_call call = call_for(60);
            hyper_error error = no_error();
            return answer(table().clean(connection, &call, words.at(1).c_str(), words.at(2).c_str(), &error), error);
        }
        throw std::runtime_error("unknown command " + verb);
    }
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) return 2;
    Ledger ledger(argv[2]);
    auto module = Module::load(argv[1], ledger);
    if (!module) {
        std::cerr << module.error().message << "\n";
        return 1;
    }
    Driver driver{*module, ledger, argv[3]};
    json opened = driver.open(driver.uri, &driver.connection);
    std::cout << opened.dump() << std::endl;
    if (opened["failure"] != 0) return 1;
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream text(line);
        std::vector<std::string> words;
        for (std::string word; std::getline(text, word, ' ');) words.push_back(word);
        try {
            std::cout << driver.obey(words).dump() << std::endl;
        } catch (const std::exception& exception) {
            std::cout << json{{"failure", HYPER_FATAL}, {"message", exception.what()}}.dump() << std::endl;
        }
    }
    if (driver.snapshot != nullptr) driver.release(false);
    driver.table().close(driver.connection);
    return 0;
}
