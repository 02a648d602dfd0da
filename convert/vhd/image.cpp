// SPDX-License-Identifier: Apache-2.0
// Reading VHD.
//
// Design note. The footer at the end of the file rules. Where it is missing or damaged the copy at the front of a
// dynamic file is taken, with a warning; where both are good but tell different things the file is refused.
//
// Size. A footer has two: cylinders x heads x sectors (CHS), and the current size. Creators "vpc " and "qemu" mean the first, the
// others that are known mean the second (footer.h), and a CHS of 65535/16/255 is too small to be meant at all. For a creator that is
// not known the current size is taken, as Hyper-V does: CHS can only round it. If the two differ then a warning says so,
// since QEMU before 9.2 or so shows the smaller disk.
//
// Blocks. A bit of 0 in a block's sector bitmap means that the sector is not in this file: it is zero in a dynamic disk, and
// the parent's in a differencing one. QEMU looks neither at bitmaps nor at parents.
//
// Parent. Its file is found by the first of its names that leads anywhere (parent.h) and is then opened once, so that a chain
// costs one attempt a link whatever its images say. Its unique id must be the one that the child noted. Writers differ in
// which time they note (the parent's footer's, or the file's), and copying changes the latter: a mismatch is a warning.
#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>

#include "convert/vhd/block_table.h"
#include "convert/vhd/footer.h"
#include "convert/vhd/parent.h"
#include "convert/vhd/vhd.h"

namespace hyper {

namespace {

using namespace vhd;

// Virtual PC before 2004 left the last byte of the footer out.
constexpr uint64_t short_footer_bytes = 511;

struct FoundFooter {
    Footer footer;
    uint64_t data_end;  // where the footer at the end begins, or the file's end where it is missing
    std::vector<std::string> warnings;
};

bool is_good(const Footer& footer) {
    return footer.cookie == footer_cookie && footer.checksum == checksum_of(footer);
}

// What is wrong with a footer, and where.
tl::unexpected<Error> bad_footer(const File& file, const Footer& footer, std::string_view where) {
    if (footer.cookie != footer_cookie)
        return fail(EINVAL, "{}: {}: cookie is not \"conectix\": not a VHD, or truncated", file.path(), where);
    return fail(EINVAL, "{}: {}: checksum {:#010x} should be {:#010x}", file.path(), where,
                uint32_t{footer.checksum}, checksum_of(footer));
}

bool agree(const Footer& a, const Footer& b) {
    return a.data_offset == b.data_offset && a.current_size == b.current_size && a.geometry == b.geometry &&
           a.disk_type == b.disk_type && a.unique_id == b.unique_id && a.creator_app == b.creator_app;
}

Result<FoundFooter> find_footer(const File& file) {
    uint64_t size = file.size_bytes();
    uint64_t footer_bytes = size % sector_bytes == short_footer_bytes ? short_footer_bytes : sizeof(Footer);
    if (size < footer_bytes)
        return fail(EINVAL, "{}: {} bytes are too few for a VHD footer", file.path(), size);
    Footer last{}, front{};
    TRY(file.read(size - footer_bytes, bytes_of(last).first(footer_bytes)));
    if (is_good(last) && last.disk_type == type_fixed) return FoundFooter{last, size - footer_bytes, {}};
    if (size >= sizeof front) TRY(file.read(0, bytes_of(front)));
    bool front_is_good = is_good(front) && front.disk_type != type_fixed;
    if (is_good(last)) {
        FoundFooter found{last, size - footer_bytes, {}};
        if (!front_is_good)
            found.warnings.push_back("the copy of the footer at the front is missing or damaged");
        else if (!agree(last, front))
            return fail(EINVAL, "{}: the footer at the end and its copy at the front tell different disks",
                        file.path());
        return found;
    }
    if (front_is_good)
        return FoundFooter{front, size, {"the footer at the end is missing or damaged; its copy at the front is used"}};
    return last.cookie == footer_cookie || front.cookie != footer_cookie
               ? bad_footer(file, last, "footer at the end")
               : bad_footer(file, front, "footer at the front");
}

// Errors: EINVAL, naming the field.
Result<uint64_t> disk_size_of(const File& file, const Footer& footer, std::vector<std::string>& warnings) {
    uint64_t by_geometry = footer.geometry.bytes(), current = footer.current_size;
    SizeRule rule = size_rule(footer);
    if (rule == SizeRule::current_size_by_default && by_geometry != current)
        warnings.push_back(
            fmt::format("creator \"{}\" is not known: of the sizes {} (current size) and {} (geometry) the first is taken",
                        tag_text(footer.creator_app), current, by_geometry));
    uint64_t size = rule == SizeRule::geometry ? by_geometry : current;
    if (size == 0)
        return fail(EINVAL, "{}: footer: {} gives a disk of 0 bytes", file.path(),
                    rule == SizeRule::geometry ? "geometry" : "current size");
    if (size > disk_bytes_max)
        return fail(EFBIG, "{}: footer: current size {} is more than 64 TiB", file.path(), size);
    return size;
}

class VhdImage : public Image {
  public:
    VhdImage(const File& file, FoundFooter found, uint64_t disk_size) : Image(file), footer_(found.footer) {
        size_bytes_ = disk_size;
        info_.format = Format::vhd;
        info_.warnings = std::move(found.warnings);
        info_.details = {{"creator", tag_text(footer_.creator_app)}, {"unique id", uuid_text(footer_.unique_id)}};
        if (footer_.saved_state != 0) info_.warnings.push_back("a virtual machine is suspended on this disk");
        modified_s_ = file.modified().tv_sec;
    }

    const UniqueId& unique_id() const { return footer_.unique_id; }
    // Whether a child that noted this time can have meant the disk as it is.
    bool matches_time(uint32_t timestamp) const {
        return timestamp == footer_.timestamp || timestamp + epoch_s == modified_s_;
    }

  private:
    Footer footer_;
    int64_t modified_s_;
};

class FixedVhd : public VhdImage {
  public:
    FixedVhd(std::shared_ptr<const File> file, FoundFooter found, uint64_t disk_size)
        : VhdImage(*file, std::move(found), disk_size), file_(std::move(file)) {
        info_.subformat = "fixed";
    }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override {
        out.file(file_, offset, length);
        return {};
    }

  private:
    std::shared_ptr<const File> file_;
};

// Dynamic or, with a parent, differencing.
class DynamicVhd : public VhdImage {
  public:
    DynamicVhd(std::shared_ptr<const File> file, FoundFooter found, uint64_t disk_size, BlockTable table)
        : VhdImage(*file, std::move(found), disk_size), file_(std::move(file)), table_(std::move(table)) {
        info_.subformat = "dynamic";
        info_.details.push_back({"block size", std::to_string(table_.block_bytes())});
        info_.details.push_back({"allocated blocks", std::to_string(table_.allocated_count())});
    }

    // Errors: EINVAL for a parent that is not the one that the header means.
    Result<void> attach(const DynamicHeader& header, std::shared_ptr<const Image> parent) {
        auto* vhd = dynamic_cast<const VhdImage*>(parent.get());
        if (vhd == nullptr || vhd->unique_id() != header.parent_unique_id)
            return fail(EINVAL, "{}: parent unique id {} is not that of {} ({})", path_,
                        uuid_text(header.parent_unique_id), parent->path(),
                        vhd == nullptr ? "not a VHD" : uuid_text(vhd->unique_id()));
        if (!vhd->matches_time(header.parent_timestamp))
            info_.warnings.push_back(fmt::format("parent timestamp {} is not that of {}: was the parent changed?",
                                                 uint32_t{header.parent_timestamp}, parent->path()));
        const Hash128& digest = parent->identity().digest;
        identity_ = identity_.with({reinterpret_cast<const char*>(digest.data()), digest.size()});
        info_.subformat = "differencing";
        info_.details.push_back({"parent", parent->path()});
        parent_ = std::move(parent);
        return {};
    }

    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override {
        uint64_t end = offset + length, block_bytes = table_.block_bytes();
        while (offset < end && !out.full()) {
            uint64_t block = offset / block_bytes, before = out.length(), take;
            if (table_.allocated(block)) {
                take = std::min(end, (block + 1) * block_bytes) - offset;
                TRY(map_block(block, offset, take, out));
            } else {
                uint64_t run = table_.absent_run(block, divide_up(end, block_bytes) - block);
                take = std::min(end, (block + run) * block_bytes) - offset;
                TRY(map_parent(parent_.get(), offset, take, out));
            }
            if (out.length() - before < take) break;
            offset += take;
        }
        return {};
    }

  private:
    // A range within one allocated block.
    Result<void> map_block(uint64_t block, uint64_t offset, uint64_t length, PieceList& out) const {
        uint64_t block_start = block * table_.block_bytes(), data = table_.data_offset(block);
        auto bitmap = TRY(table_.bitmap(block));
        if (!bitmap) {
            out.file(file_, data + (offset - block_start), length);
            return {};
        }
        uint64_t at = offset - block_start, end = at + length;
        while (at < end && !out.full()) {
            uint64_t sector = at / sector_bytes, next = sector + 1, last = divide_up(end, sector_bytes);
            bool here = BlockTable::has_sector(*bitmap, sector);
            while (next < last && BlockTable::has_sector(*bitmap, next) == here) ++next;
            uint64_t before = out.length(), take = std::min(end, next * sector_bytes) - at;
            if (here)
                out.file(file_, data + at, take);
            else
                TRY(map_parent(parent_.get(), block_start + at, take, out));
            if (out.length() - before < take) break;
            at += take;
        }
        return {};
    }

    std::shared_ptr<const File> file_;
    BlockTable table_;
};

Result<DynamicHeader> read_header(const File& file, const Footer& footer, uint64_t data_end) {
    uint64_t offset = footer.data_offset;
    DynamicHeader header;
    if (offset < sizeof(Footer) || !range_within(offset, sizeof header, data_end))
        return fail(EINVAL, "{}: footer: data offset {} leads to no place for a dynamic header", file.path(), offset);
    TRY(file.read(offset, bytes_of(header)));
    if (header.cookie != header_cookie)
        return fail(EINVAL, "{}: dynamic header: cookie is \"{}\", not \"cxsparse\"", file.path(),
                    tag_text(header.cookie));
    if (header.checksum != checksum_of(header))
        return fail(EINVAL, "{}: dynamic header: checksum {:#010x} should be {:#010x}", file.path(),
                    uint32_t{header.checksum}, checksum_of(header));
    if (header.version >> 16 != format_version >> 16)
        return fail(ENOTSUP, "{}: dynamic header: version {:#x} is not read, only 0x10000 is", file.path(),
                    uint32_t{header.version});
    return header;
}

Result<std::shared_ptr<const Image>> open_fixed(std::shared_ptr<const File> file, FoundFooter found,
                                                uint64_t disk_size) {
    if (disk_size > found.data_end)
        return fail(EINVAL, "{}: footer: a fixed disk of {} bytes, but only {} stand before the footer (truncated?)",
                    file->path(), disk_size, found.data_end);
    return std::make_shared<FixedVhd>(std::move(file), std::move(found), disk_size);
}

Result<std::shared_ptr<const Image>> open_dynamic(Opening& opening, std::shared_ptr<const File> file,
                                                  FoundFooter found, uint64_t disk_size) {
    Footer footer = found.footer;
    DynamicHeader header = TRY(read_header(*file, footer, found.data_end));
    BlockTable table = TRY(
        BlockTable::load(opening.engine(), file, header, footer.data_offset, disk_size, found.data_end));
    TRY(opening.hold_tables(*file, table.memory_bytes()));
    auto image = std::make_shared<DynamicVhd>(file, std::move(found), disk_size, std::move(table));
    if (footer.disk_type == type_differencing) {
        auto parent_file = TRY(open_parent_file(opening, *file, header));
        auto parent = TRY(opening.open(std::move(parent_file), Format::vhd));
        TRY(image->attach(header, std::move(parent)));
    }
    return image;
}

}  // namespace

Result<std::shared_ptr<const Image>> open_vhd(Opening& opening, std::shared_ptr<const File> file) {
    FoundFooter found = TRY(find_footer(*file));
    const Footer& footer = found.footer;
    if (footer.version >> 16 != format_version >> 16)
        return fail(ENOTSUP, "{}: footer: version {:#x} is not read, only 0x10000 is", file->path(),
                    uint32_t{footer.version});
    uint64_t disk_size = TRY(disk_size_of(*file, footer, found.warnings));
    switch (uint32_t{footer.disk_type}) {
        case type_fixed: return open_fixed(std::move(file), std::move(found), disk_size);
        case type_dynamic:
        case type_differencing: return open_dynamic(opening, std::move(file), std::move(found), disk_size);
        default:
            return fail(ENOTSUP, "{}: footer: disk type {} is not read (2 fixed, 3 dynamic and 4 differencing are)",
                        file->path(), uint32_t{footer.disk_type});
    }
}

}  // namespace hyper
