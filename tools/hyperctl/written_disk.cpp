// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/written_disk.h"

#include "blockengine/writable_file.h"
#include "tools/hyperctl/nbd_writer.h"

namespace hyper::ctl {

namespace {

class WrittenFile : public WrittenDisk {
  public:
    WrittenFile(std::shared_ptr<WritableFile> file, Io& io) : file_(std::move(file)), io_(io) {}
    uint64_t size_bytes() const override { return file_->file()->size_bytes(); }
    Result<void> write(uint64_t offset, std::span<const std::byte> bytes) override {
        WriteOp op{file_->fd(), offset, bytes, 0};
        io_.write({&op, 1});
        if (op.error != 0)
            return fail(op.error, "{}: write {} bytes at offset {}: {}", file_->file()->path(), bytes.size(), offset, errno_text(op.error));
        return {};
    }
    Result<void> zero(uint64_t offset, uint64_t length) override { return file_->zero(offset, length, false, false); }
    Result<void> flush() override { return file_->flush(); }

  private:
    std::shared_ptr<WritableFile> file_;
    Io& io_;
};

}  // namespace

Result<std::unique_ptr<WrittenDisk>> open_written_disk(Engine& engine, const std::string& name) {
    if (is_nbd_uri(name)) return open_nbd_writer(name);
    auto file = TRY(WritableFile::open(name, engine.io()));
    return std::make_unique<WrittenFile>(std::move(file), engine.io());
}

}  // namespace hyper::ctl
