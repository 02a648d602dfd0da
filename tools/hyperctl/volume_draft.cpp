// SPDX-License-Identifier: Apache-2.0
// hydrate, commit and discard: what becomes of the draft of a volume.
#include "blockengine/volume/volume_draft.h"

#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <optional>
#include <thread>

#include "blockengine/volume/small_file.h"
#include "blockengine/volume/volume_lock.h"
#include "convert/volume/lazy.h"
#include "nbdserver/watch/control_client.h"
#include "tools/hyperctl/data_walk.h"
#include "tools/hyperctl/generation_text.h"
#include "tools/hyperctl/progress.h"
#include "tools/hyperctl/table.h"
#include "tools/hyperctl/volume_command.h"
#include "tools/hyperctl/volume_operand.h"

namespace hyper::ctl {

namespace {

struct DraftOptions {
    VolumeRoot root;
    std::string name, control;
    bool progress = false, json = false;
};

tl::unexpected<Error> no_draft(const VolumeOperand& operand) {
    return fail(ENOENT, "{}: has no draft: nothing was written to it since its newest generation", operand.name);
}

uint64_t written_bytes(const Draft& draft) {
    uint64_t bytes = 0;
    draft.visit_changed([&](const SectorRun& run) {
        bytes += run.count * draft_sector_bytes;
        return true;
    });
    return bytes;
}

int say_nothing_written(const DraftOptions& options) {
    if (options.json)
        print_json({{"generation", nullptr}});
    else
        fmt::print("nothing was written since the newest generation, so there is no new one\n");
    return exit_ok;
}

Result<std::unique_ptr<VolumeDraft>> open_draft(Engine& engine, const VolumeOperand& operand) {
    return VolumeDraft::open(engine, operand.folder, [&](const LazySource& source) { return open_lazy_source(engine, source); });
}

uint64_t absent_bytes(const Draft& draft) {
    uint64_t absent = 0;
    for (SectorRun run = draft.next_absent(0); run.count > 0; run = draft.next_absent(run.first + run.count)) absent += run.count;
    return absent * draft_sector_bytes;
}

Result<int> hydrate(Engine& engine, const DraftOptions& options) {
    auto operand = TRY(options.root.operand(options.name));
    TRY(operand.refuse_generation());
    TRY(operand.must_be_there());
    auto draft = TRY(open_draft(engine, operand));
    uint64_t missing = draft->lazy_source() ? absent_bytes(*draft->disk()->draft()) : 0;
    std::optional<Progress> progress(std::in_place, options.progress, missing);
    HydrateOptions how;
    how.done = [&](uint64_t bytes) { progress->add(bytes); };
    how.stop = interrupted;
    auto done = draft->hydrate(how);
    progress.reset();
    if (!done && interrupted()) {
        fmt::print(stderr, "hyperctl: interrupted; what was fetched is kept, and the same command goes on there\n");
        return exit_interrupted;
    }
    if (!done) return tl::unexpected(done.error());
    if (options.json)
        print_json({{"fetched-bytes", missing}});
    else
        fmt::print("{} were missing, and everything is here now; hyperctl volume commit {} makes it a generation\n", human_bytes(missing),
                   printable(operand.name));
    return exit_ok;
}

int say_made(const Generation& generation, const DraftOptions& options) {
    if (options.json)
        print_json(json_of(generation));
    else
        fmt::print("generation {}: {} differ from the one before, {} stored\n", number_and_time(generation),
                   human_bytes(generation.changed_bytes), human_bytes(generation.stored_bytes));
    return exit_ok;
}

// One answer of hypernbd about a commit.
Result<Json> ask_about(const std::string& socket_path, const char* method, const std::string& what) {
    std::string body = TRY(watch::ask_control(socket_path, method, "/v1/commits/" + watch::path_text(what)));
    Json answer = Json::parse(body, nullptr, false);
    if (!answer.is_object() || !answer.contains("commit"))
        return fail(EPROTO, "control socket {}: the answer is about no commit", socket_path);
    return answer;
}

// Clients have it open: whoever serves them commits it. `held` says who that is.
Result<int> let_holder_commit(Engine& engine, const VolumeOperand& operand, const DraftOptions& options, const Error& held) {
    constexpr std::chrono::milliseconds pause(50);
    std::string socket_path = options.control.empty() ? watch::default_control_path() : options.control;
    auto told = ask_about(socket_path, "POST", std::filesystem::absolute(operand.folder).string());
    if (!told)
        return fail(EBUSY, "{}; clients of a hypernbd with --control may stay, all others have to leave ({})", held.message, told.error().message);
    Progress progress(options.progress, 0);
    for (uint64_t done = 0;;) {
        auto answer = ask_about(socket_path, "GET", fmt::to_string((*told)["commit"].get<uint64_t>()));
        if (!answer)
            return fail(answer.error().code, "{}; hypernbd may have been replaced meanwhile: hyperctl volume log {} shows whether it made the generation",
                        answer.error().message, operand.name);
        const Json& state = *answer;
        uint64_t now = state.at("done-bytes");
        progress.add(now - done);
        done = now;
        if (state.at("running")) {
            if (interrupted()) return fail(ECANCELED, "{}: hypernbd goes on with the commit", operand.name);
            std::this_thread::sleep_for(pause);
            continue;
        }
        if (!state.at("error").is_null()) return fail(EBUSY, "{}; asked on {}: {}", held.message, socket_path, state["error"].get<std::string>());
        if (state.at("generation").is_null()) return say_nothing_written(options);
        auto volume = TRY(operand.open(engine));
        return say_made(TRY(volume->find(fmt::to_string(state["generation"].get<uint32_t>()))), options);
    }
}

Result<int> commit(Engine& engine, const DraftOptions& options) {
    auto operand = TRY(options.root.operand(options.name));
    TRY(operand.refuse_generation());
    {
        auto opened = operand.open_to_write(engine);
        if (!opened && opened.error().code == EBUSY)
            return read_answers_of("the control socket", [&] { return let_holder_commit(engine, operand, options, opened.error()); });
        auto writer = TRY(std::move(opened));
        auto found = TRY(find_draft(*writer));
        if (found == DraftFound::none) return no_draft(operand);
        if (found == DraftFound::nothing_written) return say_nothing_written(options);
    }
    auto draft = TRY(open_draft(engine, operand));
    std::optional<Progress> progress(std::in_place, options.progress, written_bytes(*draft->disk()->draft()));
    StoreOptions how;
    how.threads = reader_threads();
    how.done = [&](uint64_t bytes) { progress->add(bytes); };
    how.stop = interrupted;
    auto made = draft->commit(how);
    progress.reset();
    if (!made) return tl::unexpected(made.error());
    return *made ? say_made(**made, options) : say_nothing_written(options);
}

// Without opening it: it may be damaged. A draft is one as long as it has its map.
Result<int> discard(const DraftOptions& options) {
    namespace fs = std::filesystem;
    auto operand = TRY(options.root.operand(options.name));
    TRY(operand.refuse_generation());
    TRY(operand.must_be_there());
    VolumePaths paths(operand.folder);
    auto lock = TRY(lock_volume(paths));
    std::error_code error;
    if (!fs::remove(paths.draft() + "/map", error) && !error) return no_draft(operand);
    if (!error) TRY(sync_folder(paths.draft()));
    if (!error) fs::remove_all(paths.draft(), error);
    if (error) return fail(error.value(), "{}: remove it: {}", paths.draft(), errno_text(error.value()));
    return exit_ok;
}

}  // namespace

void add_volume_draft(CLI::App& volume, Command& chosen) {
    auto options = std::make_shared<DraftOptions>();
    auto* keep = volume.add_subcommand("commit", "Make a generation of what was written to a volume");
    keep->add_option("VOLUME", options->name, VolumeRoot::help)->required();
    options->root.add_to(*keep);
    keep->add_option("--control", options->control, "control socket of the hypernbd whose clients have it open")->type_name("PATH");
    keep->add_flag("-p,--progress", options->progress, "show progress");
    keep->add_flag("--json", options->json, "print JSON");
    keep->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return commit(engine, *options); };
    });
    auto* fill = volume.add_subcommand("hydrate", "Fetch what a lazy volume still lacks, so that it needs its source no more");
    fill->add_option("VOLUME", options->name, VolumeRoot::help)->required();
    options->root.add_to(*fill);
    add_provider_settings(*fill);
    fill->add_flag("-p,--progress", options->progress, "show progress");
    fill->add_flag("--json", options->json, "print JSON");
    fill->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return hydrate(engine, *options); };
    });
    auto* drop = volume.add_subcommand("discard", "Throw away what was written to a volume since its newest generation");
    drop->add_option("VOLUME", options->name, VolumeRoot::help)->required();
    options->root.add_to(*drop);
    drop->callback([options, &chosen] {
        chosen.run = [options](Engine&) { return discard(*options); };
    });
}

}  // namespace hyper::ctl
