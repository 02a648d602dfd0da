// SPDX-License-Identifier: Apache-2.0
// A VMDK as a source: a descriptor, the extents that it names, and its parent.
#include <algorithm>
#include <cerrno>
#include <map>

#include "convert/vmdk/descriptor.h"
#include "convert/vmdk/sparse_extent.h"
#include "convert/vmdk/vmdk.h"

namespace hyper {

namespace {

using namespace vmdk;

struct OpenExtent {
    uint64_t offset, length;                     // on the disk
    std::shared_ptr<const File> file;            // of a flat extent
    uint64_t file_offset = 0;                    // of a flat extent
    std::unique_ptr<const SparseExtent> sparse;  // neither: zeros
};

class VmdkImage : public Image {
  public:
    explicit VmdkImage(const File& file) : Image(file) {}

    Result<void> open_embedded(Opening& opening, const std::shared_ptr<const File>& file);
    Result<void> open_text(Opening& opening, const std::shared_ptr<const File>& file);
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override;

  private:
    Result<void> open_extent(Opening& opening, const File& file, const ExtentLine& line, size_t number);
    Result<void> finish(Opening& opening, const File& file);
    void fill_info();

    Descriptor descriptor_;
    std::map<std::string, std::shared_ptr<const File>> extent_files_;  // by the name in the descriptor
    std::vector<OpenExtent> extents_;
};

Result<void> VmdkImage::open_embedded(Opening& opening, const std::shared_ptr<const File>& file) {
    auto sparse = TRY(SparseExtent::open(opening.engine(), file));
    std::string text = TRY(sparse->read_descriptor());
    if (text.empty() || text[0] == '\0')
        return fail(EINVAL, "{}: there is no descriptor within: this is an extent of a split disk; open its descriptor instead",
                    path_);
    descriptor_ = TRY(parse_descriptor(path_, text));
    if (descriptor_.extents.size() != 1 || descriptor_.extents[0].type != ExtentLine::Type::sparse)
        return fail(EINVAL, "{}: the descriptor within a sparse extent must name one SPARSE extent, itself", path_);
    if (descriptor_.sectors != sparse->header().capacity)
        return fail(EINVAL, "{}: the descriptor says {} sectors, but capacity is {}", path_, descriptor_.sectors,
                    uint64_t{sparse->header().capacity});
    uint64_t size = sparse->size_bytes();
    extents_.push_back({0, size, nullptr, 0, std::move(sparse)});
    return finish(opening, *file);
}

Result<void> VmdkImage::open_text(Opening& opening, const std::shared_ptr<const File>& file) {
    if (file->size_bytes() > descriptor_bytes_max)
        return fail(EINVAL, "{}: neither a sparse extent nor a descriptor: {} bytes are too many for one (1 MiB); "
                    "if this is a flat extent, open its descriptor instead", path_, file->size_bytes());
    std::string text(file->size_bytes(), '\0');
    TRY(file->read(0, std::as_writable_bytes(std::span(text))));
    descriptor_ = TRY(parse_descriptor(path_, text));
    for (size_t i = 0; i < descriptor_.extents.size(); ++i)
        TRY(open_extent(opening, *file, descriptor_.extents[i], i + 1));
    return finish(opening, *file);
}

Result<void> VmdkImage::open_extent(Opening& opening, const File& file, const ExtentLine& line, size_t number) {
    OpenExtent extent{extents_.empty() ? 0 : extents_.back().offset + extents_.back().length,
                  line.sectors * sector_bytes, nullptr, 0, nullptr};
    if (line.type != ExtentLine::Type::zero) {
        // Many extents of one file hold it open once.
        std::shared_ptr<const File>& extent_file = extent_files_[line.file_name];
        if (!extent_file) {
            extent_file = TRY(opening.open_reference(file, fmt::format("extent {}", number), line.file_name));
            data_paths_.push_back(extent_file->path());
        }
        if (extent_file->device() == file.device() && extent_file->inode() == file.inode())
            return fail(ELOOP, "{}: extent {}: \"{}\" is the descriptor itself", path_, number, line.file_name);
        identity_ = identity_.with(uuid_text(identity_of(*extent_file).digest));
        if (line.type == ExtentLine::Type::sparse) {
            extent.sparse = TRY(SparseExtent::open(opening.engine(), extent_file));
            if (extent.sparse->size_bytes() < extent.length)
                return fail(EINVAL, "{}: extent {}: the descriptor says {} sectors, but \"{}\" has capacity {}", path_,
                            number, line.sectors, line.file_name, uint64_t{extent.sparse->header().capacity});
            uint64_t gd_bytes = extent.sparse->gd_bytes();
            for (const OpenExtent& other : extents_) gd_bytes += other.sparse ? other.sparse->gd_bytes() : 0;
            if (gd_bytes > gd_bytes_max)
                return fail(EFBIG, "{}: extent {}: the grain directories together are larger than {} bytes", path_,
                            number, gd_bytes_max);
        } else {
            extent.file_offset = line.file_offset_sectors * sector_bytes;
            if (!range_within(extent.file_offset, extent.length, extent_file->size_bytes()))
                return fail(EINVAL, "{}: extent {}: \"{}\" has {} bytes, too few for {} sectors at sector {}", path_,
                            number, line.file_name, extent_file->size_bytes(), line.sectors, line.file_offset_sectors);
            extent.file = extent_file;
        }
    }
    extents_.push_back(std::move(extent));
    return {};
}

Result<void> VmdkImage::finish(Opening& opening, const File& file) {
    size_bytes_ = descriptor_.sectors * sector_bytes;
    uint64_t gd_bytes = 0;
    for (const OpenExtent& extent : extents_) gd_bytes += extent.sparse ? extent.sparse->gd_bytes() : 0;
    TRY(opening.hold_tables(file, gd_bytes));
    if (descriptor_.parent_cid != cid_none) {
        if (descriptor_.parent_hint.empty())
            return fail(EINVAL, "{}: parentCID {:08x}, but no parentFileNameHint says where the parent is", path_,
                        descriptor_.parent_cid);
        parent_ = TRY(opening.open_parent(file, "parentFileNameHint", descriptor_.parent_hint, Format::vmdk));
        uint32_t cid = static_cast<const VmdkImage&>(*parent_).descriptor_.cid;
        if (cid != descriptor_.parent_cid)
            return fail(EINVAL, "{}: parentCID {:08x} is not the CID {:08x} of the parent {}: the parent has changed",
                        path_, descriptor_.parent_cid, cid, parent_->path());
        identity_ = identity_.with(uuid_text(parent_->identity().digest));
    }
    fill_info();
    return {};
}

void VmdkImage::fill_info() {
    info_.format = Format::vmdk;
    info_.subformat = descriptor_.create_type;
    auto add = [&](std::string name, std::string value) { info_.details.push_back({std::move(name), std::move(value)}); };
    add("CID", fmt::format("{:08x}", descriptor_.cid));
    if (parent_) add("parent CID", fmt::format("{:08x}", descriptor_.parent_cid));
    if (!descriptor_.adapter_type.empty()) add("adapter type", descriptor_.adapter_type);
    if (!descriptor_.hardware_version.empty()) add("hardware version", descriptor_.hardware_version);
    add("extents", fmt::format("{}", extents_.size()));
    bool unclean = false, compressed = false;
    const SparseExtent* sparse = nullptr;
    for (const OpenExtent& extent : extents_) {
        if (!extent.sparse) continue;
        if (sparse == nullptr) sparse = extent.sparse.get();
        unclean |= extent.sparse->header().unclean_shutdown != std::byte{0};
        compressed |= extent.sparse->compressed();
    }
    if (sparse != nullptr) add("grain size", fmt::format("{}", sparse->header().grain_size * sector_bytes));
    if (compressed) add("compressed", "deflate");
    if (unclean) info_.warnings.push_back("uncleanShutdown is set: the disk was in use when it was last written");
    if (parent_ && parent_->size_bytes() != size_bytes_)
        info_.warnings.push_back(fmt::format("the disk has {} bytes, but its parent {} has {}", size_bytes_,
                                             parent_->path(), parent_->size_bytes()));
}

Result<void> VmdkImage::map(uint64_t offset, uint64_t length, PieceList& out) const {
    uint64_t end = offset + length;
    auto extent = std::prev(std::upper_bound(extents_.begin(), extents_.end(), offset,
                                             [](uint64_t at, const OpenExtent& e) { return at < e.offset; }));
    for (; offset < end && !out.full(); ++extent) {
        uint64_t within = offset - extent->offset, part = std::min(end - offset, extent->length - within);
        uint64_t before = out.length();
        if (extent->sparse)
            TRY(extent->sparse->map(within, part, parent_.get(), extent->offset, out));
        else if (extent->file)
            out.file(extent->file, extent->file_offset + within, part);
        else
            out.zeros(part);
        offset += out.length() - before;
    }
    return {};
}

}  // namespace

Result<std::shared_ptr<const Image>> open_vmdk(Opening& opening, std::shared_ptr<const File> file) {
    auto image = std::make_shared<VmdkImage>(*file);
    le32 magic;
    if (file->size_bytes() >= sizeof magic) TRY(file->read(0, bytes_of(magic)));
    bool sparse = magic == magic_sparse || magic == magic_cowd || magic == magic_sesparse;
    if (sparse)
        TRY(image->open_embedded(opening, file));
    else
        TRY(image->open_text(opening, file));
    return image;
}

}  // namespace hyper
