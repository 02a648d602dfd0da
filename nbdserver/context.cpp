// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include <algorithm>

#include "blockengine/base/bytes.h"
#include "convert/image.h"
#include "nbdserver/export.h"
#include "nbdserver/protocol.h"

namespace hyper::nbd {

namespace {

class Allocation : public Context {
  public:
    explicit Allocation(std::shared_ptr<const Source> source) : Context("base:allocation"), source_(std::move(source)) {}

    Result<void> describe(uint64_t offset, uint64_t length,
                          const std::function<bool(uint64_t, uint64_t)>& visit) const override {
        return visit_extents(*source_, offset, length, [&](const Extent& extent) {
            return visit(extent.length, extent.zero ? state_hole | state_zero : 0);
        });
    }

  private:
    std::shared_ptr<const Source> source_;
};

// As qemu-nbd -A tells it.
class Depth : public Context {
  public:
    explicit Depth(std::shared_ptr<const Image> image) : Context(depth_name), image_(std::move(image)) {}

    Result<void> describe(uint64_t offset, uint64_t length,
                          const std::function<bool(uint64_t, uint64_t)>& visit) const override {
        // A window bounds how far map() looks ahead of a visitor that stops early.
        constexpr uint64_t window_bytes = 4 * GiB;
        PieceList pieces;
        uint64_t run = 0, depth = 0;
        for (uint64_t end = offset + length; offset < end; offset += pieces.length()) {
            pieces.clear();
            TRY(image_->map(offset, std::min(window_bytes, end - offset), pieces));
            if (pieces.length() == 0 || pieces.length() > end - offset)
                return fail(EIO, "layers of {} bytes at offset {}: the source answers for {} bytes", end - offset, offset,
                            pieces.length());
            for (const Piece& piece : pieces.pieces()) {
                if (run > 0 && depth != piece.depth) {
                    if (!visit(run, depth)) return {};
                    run = 0;
                }
                depth = piece.depth;
                run += piece.length;
            }
        }
        visit(run, depth);
        return {};
    }

    static constexpr const char* depth_name = "qemu:allocation-depth";

  private:
    std::shared_ptr<const Image> image_;
};

// A file without layers: qemu counts its holes as its own.
class OneLayer : public Context {
  public:
    OneLayer() : Context(Depth::depth_name) {}
    Result<void> describe(uint64_t, uint64_t length, const std::function<bool(uint64_t, uint64_t)>& visit) const override {
        visit(length, 1);
        return {};
    }
};

}  // namespace

std::shared_ptr<const Context> allocation_context(std::shared_ptr<const Source> source) {
    return std::make_shared<Allocation>(std::move(source));
}

std::shared_ptr<const Context> depth_context(const std::shared_ptr<const Source>& source) {
    if (auto image = std::dynamic_pointer_cast<const Image>(source)) return std::make_shared<Depth>(std::move(image));
    return std::make_shared<OneLayer>();
}

}  // namespace hyper::nbd
