// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/api.h"
#include "scheduler/hyperd/views.h"

namespace hyper::hyperd {

namespace {

const Parameter job_parameter{"job", "path", "the job's name", 0};
const Parameter limit_parameter{"limit", "query", "how many at most, the newest first (50)", rows_max};

http::Answer list(Api& api) {
    Json jobs = Json::array();
    for (const JobView& view : api.daemon.jobs()) jobs.push_back(json_of(view));
    return json_answer({{"jobs", std::move(jobs)}});
}

http::Answer show(Api& api, const std::string& name, int status = 200) {
    auto view = api.daemon.job(name);
    return view ? json_answer(json_of(*view), status) : problem_of(view.error(), {"path.job", Json(name)});
}

// The message of a refused definition begins with the key that is wrong, where it is one.
http::Answer refused(const Error& error, const std::string& name) {
    if (error.code == EINVAL) return problem_of(error, {"body", nullptr});
    return problem_of(error, {"name", Json(name)});
}

http::Answer add(Api& api, const Call& call) {
    Json definition = call.body;
    auto name = definition.find("name");
    if (name == definition.end() || !name->is_string()) return problem(422, "name must be there, and text", {"name", name == definition.end() ? Json() : *name});
    std::string text = *name;
    definition.erase("name");
    auto added = api.daemon.add_job(text, definition.dump());
    if (!added) return refused(added.error(), text);
    auto answer = show(api, text, 201);
    answer.headers.emplace_back("Location", "/v1/jobs/" + http::path_text(text));
    return answer;
}

http::Answer replace(Api& api, const Call& call) {
    auto replaced = api.daemon.replace_job(call.at("job"), call.body.dump());
    return replaced ? show(api, call.at("job")) : refused(replaced.error(), call.at("job"));
}

http::Answer remove(Api& api, const Call& call) {
    auto removed = api.daemon.remove_job(call.at("job"));
    return removed ? json_answer({{"removed", call.at("job")}}) : problem_of(removed.error(), {"path.job", Json(call.at("job"))});
}

http::Answer ask(Api& api, const Call& call, Daemon::Wish wish) {
    auto asked = api.daemon.ask(call.at("job"), wish);
    return asked ? show(api, call.at("job"), 202) : problem_of(asked.error(), {"path.job", Json(call.at("job"))});
}

http::Answer logs(Api& api, const Call& call) {
    const std::string& name = call.at("job");
    auto view = api.daemon.job(name);
    if (!view) return problem_of(view.error(), {"path.job", Json(name)});
    std::string period(call.request.parameter("period").value_or(""));
    if (period.empty()) {
        auto newest = api.daemon.runs(name, 1);
        if (!newest) return problem_of(newest.error());
        if (newest->empty()) return problem(404, fmt::format("job {}: has not run yet", name), {"path.job", Json(name)});
        period = newest->front().period;
    }
    std::string text = RunLog::read(api.daemon.logs(), name, period);
    if (text.empty()) return problem(404, fmt::format("job {}: nothing is kept of the run {}", name, period), {"query.period", Json(period)});
    return json_answer({{"job", name}, {"period", period}, {"text", text}});
}

http::Answer rows_of(Api& api, const std::string& job, const Call& call) {
    auto rows = api.daemon.runs(job, call.number("limit", rows_default));
    if (!rows) return problem_of(rows.error());
    Json list = Json::array();
    for (const auto& row : *rows) list.push_back(json_of(row));
    return json_answer({{"runs", std::move(list)}});
}

http::Answer decisions(Api& api, const Call& call) {
    if (auto there = api.daemon.job(call.at("job")); !there) return problem_of(there.error(), {"path.job", Json(call.at("job"))});
    auto rows = api.daemon.decisions(call.at("job"), call.number("limit", rows_default));
    if (!rows) return problem_of(rows.error());
    Json list = Json::array();
    for (const auto& row : *rows) list.push_back(json_of(row));
    return json_answer({{"decisions", std::move(list)}});
}

http::Answer runs_of_job(Api& api, const Call& call) {
    auto there = api.daemon.job(call.at("job"));
    return there ? rows_of(api, call.at("job"), call) : problem_of(there.error(), {"path.job", Json(call.at("job"))});
}

}  // namespace

void add_job_routes(std::vector<Route>& routes, Api& api) {
    auto with = [&](auto handler) { return [handler, &api](const Call& call) { return handler(api, call); }; };
    routes.push_back({"GET", "/v1/jobs", "listJobs", "All jobs, and where each stands", Scope::read, {}, "", {200, "Jobs", "the jobs, by name"},
                      [&api](const Call&) { return list(api); }});
    routes.push_back({"POST", "/v1/jobs", "addJob", "Add a job: its name and the keys that a job has in the file", Scope::admin, {}, "NewJob",
                      {201, "Job", "the job as it stands"}, with(add)});
    routes.push_back({"GET", "/v1/jobs/{job}", "showJob", "One job", Scope::read, {job_parameter}, "", {200, "Job", "the job as it stands"},
                      [&api](const Call& call) { return show(api, call.at("job")); }});
    routes.push_back({"PUT", "/v1/jobs/{job}", "changeJob", "Define a job anew that was added by the API", Scope::admin, {job_parameter}, "JobDefinition",
                      {200, "Job", "the job as it stands"}, with(replace)});
    routes.push_back({"DELETE", "/v1/jobs/{job}", "deleteJob", "Forget a job that was added by the API; its runs stay in the ledger, its volume stays as it is", Scope::admin,
                      {job_parameter}, "", {200, "Removed", "which"}, with(remove)});
    struct Asked {
        const char *word, *id, *summary;
        Daemon::Wish wish;
    };
    for (const Asked& one : {Asked{"run", "runJob", "Run a job as soon as its dependencies let it", Daemon::Wish::run},
                             Asked{"pause", "pauseJob", "Begin no runs of a job until it is resumed; one that goes on is stopped and goes on then", Daemon::Wish::pause},
                             Asked{"resume", "resumeJob", "Undo a pause", Daemon::Wish::resume},
                             Asked{"cancel", "cancelJob", "End the run that goes on, or give up the one that is waited for", Daemon::Wish::cancel}}) {
        routes.push_back({"POST", std::string("/v1/jobs/{job}/") + one.word, one.id, one.summary, Scope::run, {job_parameter}, "",
                          {202, "Job", "the job as it stands; what was asked for happens now"},
                          [&api, wish = one.wish](const Call& call) { return ask(api, call, wish); }});
    }
    routes.push_back({"GET", "/v1/jobs/{job}/logs", "jobLogs", "What a run said", Scope::read,
                      {job_parameter, {"period", "query", "of which run; the newest where it is not given", 0}}, "", {200, "Log", "the newest lines"}, with(logs)});
    routes.push_back({"GET", "/v1/jobs/{job}/runs", "jobRuns", "The ledger of a job", Scope::read, {job_parameter, limit_parameter}, "",
                      {200, "Runs", "runs, the newest first"}, with(runs_of_job)});
    routes.push_back({"GET", "/v1/jobs/{job}/decisions", "jobDecisions", "What was decided about a job, and from what", Scope::read, {job_parameter, limit_parameter}, "",
                      {200, "Decisions", "decisions, the newest first"}, with(decisions)});
    routes.push_back({"GET", "/v1/runs", "listRuns", "The ledger of all jobs", Scope::read, {limit_parameter}, "", {200, "Runs", "runs, the newest first"},
                      [&api](const Call& call) { return rows_of(api, "", call); }});
}

}  // namespace hyper::hyperd
