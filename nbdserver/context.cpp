// SPDX-License-Identifier: Apache-2.0
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

}  // namespace

std::shared_ptr<const Context> allocation_context(std::shared_ptr<const Source> source) {
    return std::make_shared<Allocation>(std::move(source));
}

}  // namespace hyper::nbd
