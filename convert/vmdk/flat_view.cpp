// SPDX-License-Identifier: Apache-2.0
// monolithicFlat: the descriptor; its extent beside it is the raw disk.
#include <cerrno>

#include "blockengine/base/bytes.h"
#include "convert/vmdk/descriptor.h"
#include "convert/vmdk/vmdk.h"

namespace hyper {

namespace {

class DescriptorView : public Source, public Producer, public std::enable_shared_from_this<DescriptorView> {
  public:
    explicit DescriptorView(std::string text) : text_(std::move(text)) {}
    uint64_t size_bytes() const override { return text_.size(); }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override {
        out.computed(shared_from_this(), offset, length);
        return {};
    }
    Result<void> produce(uint64_t offset, std::span<std::byte> out) const override {
        std::memcpy(out.data(), text_.data() + offset, out.size());
        return {};
    }

  private:
    std::string text_;
};

}  // namespace

Result<std::shared_ptr<const Source>> make_vmdk_flat_descriptor_view(const ViewInput& input) {
    if (input.disk->size_bytes() == 0) return fail(EINVAL, "{}: the disk is empty: VMDK cannot hold it", input.file_name);
    std::string_view base = input.file_name;
    if (base.ends_with(".vmdk")) base.remove_suffix(5);
    std::string extent = fmt::format("RW {} FLAT \"{}-flat.vmdk\" 0", input.disk->size_bytes() / sector_bytes,
                                     vmdk::quotable(base));
    return std::make_shared<DescriptorView>(vmdk::write_descriptor(input, "monolithicFlat", extent));
}

}  // namespace hyper
