// SPDX-License-Identifier: Apache-2.0
// The order of the checks, and the claims on clusters of metadata.
#include "convert/qcow2/check.h"

#include <algorithm>

#include "convert/qcow2/qcow2.h"

namespace hyper::qcow2 {

std::string_view kind_name(Kind kind) {
    switch (kind) {
        case Kind::header: return "the header";
        case Kind::refcount_table: return "the refcount table";
        case Kind::refcount_block: return "a refcount block";
        case Kind::l1_table: return "an L1 table";
        case Kind::l2_table: return "an L2 table";
        case Kind::snapshot_table: return "the snapshot table";
        case Kind::bitmap_directory: return "the bitmap directory";
        case Kind::bitmap_table: return "a bitmap table";
        case Kind::bitmap_data: return "bitmap data";
        case Kind::encryption_header: return "the encryption header";
    }
    return "?";
}

Result<void> Checker::run() {
    if (!TRY(check_header())) return {};
    if (divide_up(file_.size_bytes(), cluster_bytes_) > ClusterReferences::cluster_count_max) {
        error("file", "{} bytes in clusters of {} are too many to check", file_.size_bytes(), cluster_bytes_);
        return {};
    }
    references_.emplace(divide_up(file_.size_bytes(), cluster_bytes_));
    claim("header", Kind::header, 0, cluster_bytes_);
    TRY(check_extensions(header_.version >= 3 ? uint32_t{header_.header_length} : header_bytes_v2));
    TRY(check_refcount_table());
    TRY(check_l1("L1 table", header_.l1_table_offset, header_.l1_size, header_.size, true));
    TRY(check_snapshots());
    merge_l2_tables();
    std::erase_if(l2_tables_, [&](const L2Table& table) {
        return !claim(fmt::format("L2 table {}", table.l1_index), Kind::l2_table, table.offset, cluster_bytes_, table.times);
    });
    std::ranges::sort(claims_, {}, &Claim::first);
    claims_sorted_ = true;
    for (const L2Table& table : l2_tables_) TRY(count_data(table));
    if (references_->overflowed()) {
        report_.warning("refcounts", "not compared: the clusters of this file are too scattered to count them in {} MiB",
                        ClusterReferences::unfolded_chunks_max * 64 / 1024);
        return {};
    }
    TRY(check_copied_flags());
    return compare_refcounts();
}

// Claims whole clusters for metadata. False, with a finding, where the range is not possible or already taken.
bool Checker::claim(const std::string& field, Kind kind, uint64_t offset, uint64_t bytes, uint32_t times) {
    if (offset % cluster_bytes_ != 0) {
        error(field, "offset {} is not a multiple of the cluster size", offset);
        return false;
    }
    if (!range_within(offset, bytes, file_end())) {
        error(field, "{} bytes at offset {} lie past the end of the file ({} bytes)", bytes, offset, file_.size_bytes());
        return false;
    }
    uint64_t first = cluster_of(offset), end = first + divide_up(bytes, cluster_bytes_), cluster = first;
    // It ends at the first overlap, so that all claims together take no more steps than the file has clusters.
    bool taken = false;
    for (; cluster < end && !taken; ++cluster) {
        taken = references_->count(cluster) > 0;
        references_->add(cluster, times);
    }
    if (taken) {
        --cluster;
        // Searching for the other is for the message alone.
        const Claim* other = report_.findings().size() < CheckReport::findings_max ? claim_at(cluster) : nullptr;
        error(field, "offset {} overlaps {}", cluster << cluster_bits_, other ? kind_name(other->kind) : "other metadata");
    }
    if (cluster > first) claims_.push_back({first, cluster - first, kind});
    return !taken;
}

// Claims do not overlap; they are sorted once they are complete, when searching becomes frequent.
const Checker::Claim* Checker::claim_at(uint64_t cluster) const {
    auto covers = [&](const Claim& claim) { return claim.first <= cluster && cluster < claim.first + claim.count; };
    auto found = claims_.begin();
    if (claims_sorted_) {
        found = std::ranges::upper_bound(claims_, cluster, {}, &Claim::first);
        if (found != claims_.begin()) --found;
        if (found != claims_.end() && !covers(*found)) found = claims_.end();
    } else {
        found = std::ranges::find_if(claims_, covers);
    }
    return found != claims_.end() ? &*found : nullptr;
}

}  // namespace hyper::qcow2

namespace hyper {

Result<void> check_qcow2(const CheckedFile& file, CheckReport& report) { return qcow2::Checker(file, report).run(); }

}  // namespace hyper
