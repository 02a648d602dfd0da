// SPDX-License-Identifier: Apache-2.0
// The strict checker: recomputes every refcount from the tables and compares.
//
// Design note. First the metadata is claimed, cluster by cluster: header, refcount table and blocks, L1 tables, L2 tables,
// snapshot table, bitmaps, encryption header; a cluster that is claimed twice is an overlap. L2 tables that several snapshots
// share are claimed once, with the number of L1 tables that refer to them, and walked once with that weight, so the
// time is that of the file's own tables however they refer to each other. Then the data clusters are counted, and
// at last stored refcounts and "copied" flags are compared with the counts. Tables that are out of bounds are reported and not followed.
// Memory: the active L1 table (32 MiB), 16 bytes for each L2 table (64 MiB), the counts (cluster_references.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "convert/check.h"
#include "convert/qcow2/cluster_references.h"
#include "convert/qcow2/format.h"

namespace hyper::qcow2 {

// What a cluster of metadata is for.
enum class Kind : uint8_t {
    header, refcount_table, refcount_block, l1_table, l2_table, snapshot_table, bitmap_directory, bitmap_table, bitmap_data,
    encryption_header,
};

std::string_view kind_name(Kind kind);

// Bound to one thread; checks one file once.
class Checker {
  public:
    Checker(const CheckedFile& file, CheckReport& report) : file_(file), report_(report) {}
    Result<void> run();

  private:
    struct Claim {
        uint64_t first, count;  // clusters
        Kind kind;
    };
    // An L2 table, and how many L1 tables refer to it.
    struct L2Table {
        uint64_t offset;
        uint32_t l1_index;
        uint32_t active : 1;  // the active L1 table is among them
        uint32_t times : 31;
    };
    static_assert(sizeof(L2Table) == 16);

    // Formatting is skipped where the finding would only be counted.
    template <class... Args>
    void error(const std::string& field, fmt::format_string<Args...> format, Args&&... args) {
        if (report_.findings().size() < CheckReport::findings_max)
            report_.error(field, format, std::forward<Args>(args)...);
        else
            report_.error({}, "");
    }
    bool has(uint64_t feature) const { return (incompatible_ & feature) != 0; }
    uint64_t cluster_of(uint64_t offset) const { return offset >> cluster_bits_; }
    uint64_t file_end() const { return round_up(file_.size_bytes(), cluster_bytes_); }

    Result<bool> check_header();
    bool check_header_fields(uint32_t header_length);
    Result<void> check_extensions(uint32_t header_length);
    Result<void> check_bitmaps(const BitmapsExtension& bitmaps);
    Result<void> check_bitmap_table(const std::string& field, uint64_t offset, uint64_t entries);
    Result<void> check_refcount_table();
    Result<void> check_snapshots();
    Result<void> check_l1(const std::string& field, uint64_t offset, uint32_t entries, uint64_t disk_bytes, bool active);
    void merge_l2_tables();
    Result<void> count_data(const L2Table& table);
    void count_entry(const L2Table& table, uint64_t l2_index, uint64_t entry, uint64_t bitmap);
    void count_compressed(const L2Table& table, uint64_t l2_index, uint64_t entry);
    Result<void> check_copied_flags();
    Result<void> compare_refcounts();
    void compare_one(uint64_t cluster, uint64_t stored);
    void end_mismatch();

    bool claim(const std::string& field, Kind kind, uint64_t offset, uint64_t bytes, uint32_t times = 1);
    const Claim* claim_at(uint64_t cluster) const;
    std::string entry_name(const L2Table& table, uint64_t l2_index) const {
        return fmt::format("L2 table {}{}, entry {}", table.l1_index, table.active ? "" : " of a snapshot", l2_index);
    }

    const CheckedFile& file_;
    CheckReport& report_;
    Header header_{};
    uint32_t cluster_bits_ = 0;
    uint64_t cluster_bytes_ = 0, l2_entry_bytes_ = 8;
    uint64_t incompatible_ = 0;
    uint32_t refcount_order_ = 4;
    std::optional<ClusterReferences> references_;
    std::vector<Claim> claims_;
    bool claims_sorted_ = false;
    std::vector<uint64_t> l1_;  // the active table
    uint64_t l1_entries_seen_ = 0;
    std::vector<L2Table> l2_tables_;
    std::vector<uint64_t> refcount_blocks_;  // offsets; 0 where there is none
    // A run of clusters whose refcounts are wrong in the same way.
    struct Mismatch {
        uint64_t first = 0, count = 0, stored = 0;
        uint32_t counted = 0;
    } mismatch_;
};

}  // namespace hyper::qcow2
