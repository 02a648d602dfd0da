// SPDX-License-Identifier: Apache-2.0
#include "convert/check.h"

#include <cerrno>

#include "convert/qcow2/qcow2.h"
#include "convert/vhd/vhd.h"
#include "convert/vhdx/vhdx.h"
#include "convert/vmdk/vmdk.h"

namespace hyper {

void CheckReport::add(Finding finding) {
    ++(finding.severity == Finding::Severity::error ? error_count_ : warning_count_);
    if (findings_.size() < findings_max) findings_.push_back(std::move(finding));
}

Result<CheckReport> check_image(Engine& engine, const Source& file, Format format) {
    CheckReport report;
    report.file_bytes = file.size_bytes();
    CheckedFile checked(engine, file);
    switch (format) {
        case Format::raw:
            report.virtual_bytes = report.allocated_bytes = file.size_bytes();
            break;
        case Format::volume: return fail(EINVAL, "a volume is checked by hyperctl volume verify");
        case Format::qcow2: TRY(check_qcow2(checked, report)); break;
        case Format::vmdk: TRY(check_vmdk(checked, report)); break;
        case Format::vhd: TRY(check_vhd(checked, report)); break;
        case Format::vhdx: TRY(check_vhdx(checked, report)); break;
    }
    return report;
}

}  // namespace hyper
