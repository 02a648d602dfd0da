// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/nbd_writer.h"

#include <libnbd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "providers/registry.h"
#include "blockengine/base/bytes.h"

namespace hyper::ctl {

namespace {

constexpr uint64_t write_bytes_max = 32 * MiB;  // what every server takes
constexpr uint64_t zero_bytes_max = 1 * GiB;    // fits the protocol's 32 bits
constexpr size_t connections_max = 8;

// Of libnbd's last call in this thread.
Error last_error(const std::string& uri, const std::string& what) {
    int code = ::nbd_get_errno();
    const char* text = ::nbd_get_error();
    return {code == 0 ? EIO : code, fmt::format("{}: {}: {}", uri, what, text == nullptr ? "unknown error" : text)};
}

// Bound to one thread at a time.
class Connection {
  public:
    Connection() = default;
    ~Connection() { ::nbd_close(nbd_); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    Result<void> connect(const std::string& uri) {
        nbd_ = ::nbd_create();
        if (nbd_ == nullptr || ::nbd_set_uri_allow_local_file(nbd_, true) != 0 || ::nbd_connect_uri(nbd_, uri.c_str()) != 0)
            return tl::unexpected(last_error(uri, "connect"));
        return {};
    }
    nbd_handle* handle() const { return nbd_; }

  private:
    nbd_handle* nbd_ = nullptr;
};

class NbdWriter : public WrittenDisk {
  public:
    explicit NbdWriter(std::string uri) : uri_(std::move(uri)) {}

    Result<void> connect() {
        auto first = std::make_unique<Connection>();
        TRY(first->connect(uri_));
        if (::nbd_is_read_only(first->handle()) != 0) return fail(EROFS, "{}: the server exports it read-only", uri_);
        int64_t size = ::nbd_get_size(first->handle());
        if (size < 0) return tl::unexpected(last_error(uri_, "ask for the size"));
        size_bytes_ = static_cast<uint64_t>(size);
        can_zero_ = ::nbd_can_zero(first->handle()) == 1;
        can_flush_ = ::nbd_can_flush(first->handle()) == 1;
        int64_t most = ::nbd_get_block_size(first->handle(), LIBNBD_SIZE_MAXIMUM);
        if (most > 0) write_bytes_ = std::min(write_bytes_, static_cast<uint64_t>(most));
        if (::nbd_can_multi_conn(first->handle()) == 1) connections_left_ = connections_max - 1;
        idle_.push_back(std::move(first));
        return {};
    }

    uint64_t size_bytes() const override { return size_bytes_; }

    Result<void> write(uint64_t offset, std::span<const std::byte> bytes) override {
        Lent lent(*this, TRY(take()));
        for (; !bytes.empty(); bytes = bytes.subspan(std::min<size_t>(bytes.size(), write_bytes_))) {
            auto part = bytes.first(std::min<size_t>(bytes.size(), write_bytes_));
            if (::nbd_pwrite(lent.handle(), part.data(), part.size(), offset, 0) != 0)
                return tl::unexpected(last_error(uri_, fmt::format("write {} bytes at offset {}", part.size(), offset)));
            offset += part.size();
        }
        return {};
    }

    Result<void> zero(uint64_t offset, uint64_t length) override {
        const std::vector<std::byte> zeros(can_zero_ ? 0 : std::min<uint64_t>(length, MiB));
        while (length > 0) {
            uint64_t part = std::min<uint64_t>(length, can_zero_ ? zero_bytes_max : zeros.size());
            if (can_zero_)
                TRY(zero_part(offset, part));
            else
                TRY(write(offset, std::span(zeros).first(part)));
            offset += part;
            length -= part;
        }
        return {};
    }

    // One connection's flush is for all of them: what a server promises that allows several.
    Result<void> flush() override {
        if (!can_flush_) return {};
        Lent lent(*this, TRY(take()));
        if (::nbd_flush(lent.handle(), 0) != 0) return tl::unexpected(last_error(uri_, "flush"));
        return {};
    }

  private:
    // A connection in use; goes back at the end.
    class Lent {
      public:
        Lent(NbdWriter& owner, std::unique_ptr<Connection> connection) : owner_(owner), connection_(std::move(connection)) {}
        ~Lent() {
            std::lock_guard lock(owner_.mutex_);
            owner_.idle_.push_back(std::move(connection_));
            owner_.returned_.notify_one();
        }
        Lent(const Lent&) = delete;
        Lent& operator=(const Lent&) = delete;
        nbd_handle* handle() const { return connection_->handle(); }

      private:
        NbdWriter& owner_;
        std::unique_ptr<Connection> connection_;
    };

    Result<std::unique_ptr<Connection>> take() {
        std::unique_lock lock(mutex_);
        returned_.wait(lock, [&] { return !idle_.empty() || connections_left_ > 0; });
        if (!idle_.empty()) {
            auto connection = std::move(idle_.back());
            idle_.pop_back();
            return connection;
        }
        --connections_left_;
        lock.unlock();
        auto connection = std::make_unique<Connection>();
        TRY(connection->connect(uri_));
        return connection;
    }

    Result<void> zero_part(uint64_t offset, uint64_t length) {
        Lent lent(*this, TRY(take()));
        if (::nbd_zero(lent.handle(), length, offset, 0) != 0)
            return tl::unexpected(last_error(uri_, fmt::format("zero {} bytes at offset {}", length, offset)));
        return {};
    }

    const std::string uri_;
    uint64_t size_bytes_ = 0, write_bytes_ = write_bytes_max;
    bool can_zero_ = false, can_flush_ = false;
    std::mutex mutex_;
    std::condition_variable returned_;
    std::vector<std::unique_ptr<Connection>> idle_;  // guarded by mutex_
    size_t connections_left_ = 0;                    // guarded by mutex_; that may still be made
};

}  // namespace

bool is_nbd_uri(std::string_view name) {
    std::string_view scheme = uri_scheme(name);
    return scheme == "nbd" || scheme == "nbds" || scheme.starts_with("nbd+") || scheme.starts_with("nbds+");
}

Result<std::unique_ptr<WrittenDisk>> open_nbd_writer(const std::string& uri) {
    auto writer = std::make_unique<NbdWriter>(uri);
    TRY(writer->connect());
    return writer;
}

}  // namespace hyper::ctl
