// SPDX-License-Identifier: Apache-2.0
#include "convert/raw/raw.h"

#include <cerrno>

namespace hyper {

namespace {

class RawImage : public Image {
  public:
    explicit RawImage(std::shared_ptr<const File> file) : Image(*file), file_(std::move(file)) {
        size_bytes_ = file_->size_bytes();
        info_.format = Format::raw;
    }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override {
        out.file(file_, offset, length);
        return {};
    }

  private:
    std::shared_ptr<const File> file_;
};

}  // namespace

Result<std::shared_ptr<const Image>> open_raw(Opening&, std::shared_ptr<const File> file) {
    if (file->size_bytes() == 0) return fail(EINVAL, "{}: the file is empty", file->path());
    return std::make_shared<RawImage>(std::move(file));
}

}  // namespace hyper
