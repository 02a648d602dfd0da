// SPDX-License-Identifier: Apache-2.0
#include "convert/check.h"

#include <fmt/format.h>

#include <cerrno>

#include "tools/hyperctl/command.h"
#include "tools/hyperctl/operand.h"
#include "tools/hyperctl/table.h"

namespace hyper::ctl {

namespace {

struct CheckOptions {
    OperandOptions operands;
    std::string name;
    bool json = false;
};

struct Checked {
    Format format;
    CheckReport report;
};

// The file by itself, however broken it is.
Result<Checked> check_file(Engine& engine, const std::string& path, Format format) {
    auto file = TRY(File::open(path, engine.io()));
    return Checked{format, TRY(check_image(engine, FileSource(file), format))};
}

Result<Checked> check_operand(Engine& engine, const CheckOptions& options) {
    if (!options.operands.has_specs() && options.operands.as().empty()) {
        auto file = TRY(options.operands.file_of(options.name, options.operands.format()));
        if (!file) return fail(ENOENT, "{}: there is no such file", options.name);
        const auto& [path, open] = *file;
        if (is_volume(path)) return fail(EINVAL, "{}: is a volume (hyperctl volume verify checks it)", options.name);
        auto checked = TRY(check_file(engine, path, open.format.value_or(format_of_file_name(path).value_or(Format::raw))));
        // Whether it opens, with all that it refers to.
        auto image = open_image(engine, path, open);
        if (!image) checked.report.error("opening it", "{}", image.error().message);
        return checked;
    }
    auto operand = TRY(options.operands.open(engine, options.name));
    if (operand.view) return Checked{operand.view_format, TRY(check_image(engine, *operand.view, operand.view_format))};
    return check_file(engine, operand.image->path(), operand.image->info().format);
}

void print_report(const std::string& name, const Checked& checked) {
    const CheckReport& report = checked.report;
    for (const Finding& finding : report.findings())
        fmt::print("{}: {}: {}\n", finding.severity == Finding::Severity::error ? "error" : "warning",
                   printable(finding.field), printable(finding.message));
    uint64_t kept = report.findings().size(), all = report.error_count() + report.warning_count();
    if (all > kept) fmt::print("... and {} more findings\n", all - kept);
    fmt::print("{}: {}, {} error{}, {} warning{}; {} of {} stored in {}\n", name, format_name(checked.format),
               report.error_count(), report.error_count() == 1 ? "" : "s", report.warning_count(),
               report.warning_count() == 1 ? "" : "s", human_bytes(report.allocated_bytes),
               human_bytes(report.virtual_bytes), human_bytes(report.file_bytes));
}

Json json_of(const std::string& name, const Checked& checked) {
    const CheckReport& report = checked.report;
    Json findings = Json::array();
    for (const Finding& finding : report.findings())
        findings.push_back({{"severity", finding.severity == Finding::Severity::error ? "error" : "warning"},
                            {"field", finding.field},
                            {"message", finding.message}});
    return {{"filename", name},
            {"format", format_name(checked.format)},
            {"errors", report.error_count()},
            {"warnings", report.warning_count()},
            {"findings", std::move(findings)},
            {"virtual-size", report.virtual_bytes},
            {"allocated-bytes", report.allocated_bytes},
            {"file-size", report.file_bytes}};
}

Result<int> check(Engine& engine, const CheckOptions& options) {
    auto checked = TRY(check_operand(engine, options));
    if (options.json)
        print_json(json_of(options.name, checked));
    else
        print_report(options.name, checked);
    if (checked.report.error_count() > 0) return exit_check_errors;
    return checked.report.warning_count() > 0 ? exit_check_warnings : exit_ok;
}

}  // namespace

void add_check(CLI::App& app, Command& chosen) {
    auto* command = app.add_subcommand("check", "Check an image, or a view, against all that its format demands");
    auto options = std::make_shared<CheckOptions>();
    command->add_option("IMAGE", options->name, "FILE, or a name of --spec's disks")->required();
    options->operands.add_to(*command, true);
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return check(engine, *options); };
    });
}

}  // namespace hyper::ctl
