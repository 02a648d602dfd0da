// SPDX-License-Identifier: Apache-2.0
// The one idea: a source says *where* its bytes are; only the engine moves them (engine.h).
//
// A source is anything with a size and bytes to read, whose content does not change while it is held.
// It answers map(range) with pieces: zeros, bytes of a file, a compressed or checked run of a file, or bytes computed
// on demand. Sources compose by translating ranges: a view maps its data to ranges of another source.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "blockengine/base/hash.h"
#include "blockengine/base/result.h"
#include "blockengine/codec.h"
#include "blockengine/file.h"

namespace hyper {

// Bytes computed on demand: headers, tables, checksums. Thread-safe.
class Producer {
  public:
    virtual ~Producer() = default;
    // Fills `out` with the bytes at `offset`; what an offset means is the producer's own matter.
    virtual Result<void> produce(uint64_t offset, std::span<std::byte> out) const = 0;
};

struct Zeros {};

struct FileRange {
    std::shared_ptr<const File> file;
    uint64_t offset;
};

// A unit of `unpacked_bytes` bytes that is stored compressed at [offset, offset + stored_bytes) of a file, or as it is
// (Codec::plain) where it has a hash: without one that is a FileRange.
// The piece is that part of the unpacked unit which starts at `skip`.
// stored_bytes may be an upper bound; the stream ends by itself when the unit is full.
// A unit with a hash is checked whenever it is read from the file, the whole of it even where a part is wanted.
struct CompressedRange {
    std::shared_ptr<const File> file;
    uint64_t offset;
    uint32_t stored_bytes;
    uint32_t unpacked_bytes;
    uint32_t skip;
    Codec codec;
    std::optional<Hash128> hash{};  // XXH3-128 of the whole unit, unpacked
};

struct Computed {
    std::shared_ptr<const Producer> producer;
    uint64_t offset;
};

struct Piece {
    uint64_t length = 0;
    std::variant<Zeros, FileRange, CompressedRange, Computed> what;
    // Which layer of a chain of images it is of: 1 for the image itself, 2 for its parent, and so on; 0 for zeros where no
    // layer has anything.
    uint32_t depth = 1;
};

// What map() appends to. Neighbours of one layer that continue each other are merged. A piece owns what it refers to.
class PieceList {
  public:
    // Enough for a large request on a fragmented image; keeps the memory of one map() bounded.
    static constexpr size_t pieces_max = 1024;

    // Appends of length 0 are ignored.
    void zeros(uint64_t length) { zeros(length, depth_); }
    // Zeros where no layer has anything.
    void absent(uint64_t length) { zeros(length, 0); }
    void file(const std::shared_ptr<const File>& file, uint64_t offset, uint64_t length);
    void compressed(CompressedRange range, uint64_t length);
    void computed(std::shared_ptr<const Producer> producer, uint64_t offset, uint64_t length);
    // What another list has, whatever layer it is of there.
    void add(const Piece& piece);

    bool full() const { return pieces_.size() >= pieces_max; }
    // The bytes that all pieces cover together.
    uint64_t length() const { return length_; }
    std::span<const Piece> pieces() const { return pieces_; }
    void clear() {
        pieces_.clear();
        length_ = 0;
    }

    // While one lives, what is appended is of the next layer.
    class Parent {
      public:
        explicit Parent(PieceList& list) : list_(list) { ++list_.depth_; }
        ~Parent() { --list_.depth_; }
        Parent(const Parent&) = delete;
        Parent& operator=(const Parent&) = delete;

      private:
        PieceList& list_;
    };

  private:
    void zeros(uint64_t length, uint32_t depth);
    // What the last piece is, where it is of the present layer and of this kind.
    template <class Kind>
    Kind* last();

    std::vector<Piece> pieces_;
    uint64_t length_ = 0;
    uint32_t depth_ = 1;
};

// Thread-safe: any number of threads may map one source.
class Source {
  public:
    virtual ~Source() = default;
    virtual uint64_t size_bytes() const = 0;
    // Appends pieces for a prefix of [offset, offset + length), which lies within the source, length > 0.
    // It covers the whole range unless `out` becomes full, and never more than the range; on an empty
    // `out` it covers at least one byte. Errors: EIO (message says where) for what cannot be read.
    virtual Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const = 0;
};

// A run of bytes that read as zero for sure (a hole), or that are data.
struct Extent {
    uint64_t offset, length;
    bool zero;
};

// Calls `visit` for the extents of [offset, offset + length) in order, neighbours of one kind merged, until
// it answers false. Holes of the files beneath count as zero, which is asked of the file system only here.
Result<void> visit_extents(const Source& source, uint64_t offset, uint64_t length,
                           const std::function<bool(const Extent&)>& visit);

// Asks the kernel to read ahead what a range is made of, and begins to fetch what of it is far away; computed bytes need nothing.
Result<void> prefetch(const Source& source, uint64_t offset, uint64_t length);

// Begins to fetch what of the pieces is far away. Never waits.
void begin_fetching(std::span<const Piece> pieces);

// How large a request had better be: a whole unit, where the disk is stored in units, as its start tells.
uint32_t preferred_request_bytes(const Source& source);

// A whole file as it is, or a part of it.
class FileSource : public Source {
  public:
    explicit FileSource(std::shared_ptr<const File> file) : FileSource(file, 0, file->size_bytes()) {}
    // [offset, offset + length) must lie within the file.
    FileSource(std::shared_ptr<const File> file, uint64_t offset, uint64_t length)
        : file_(std::move(file)), offset_(offset), length_(length) {}
    uint64_t size_bytes() const override { return length_; }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override;

  private:
    std::shared_ptr<const File> file_;
    uint64_t offset_, length_;
};

// A source followed by zeros up to a larger size: what pads a disk to a whole MiB or GiB.
class PaddedSource : public Source {
  public:
    PaddedSource(std::shared_ptr<const Source> inner, uint64_t size_bytes)
        : inner_(std::move(inner)), size_bytes_(size_bytes) {}
    uint64_t size_bytes() const override { return size_bytes_; }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override;

  private:
    std::shared_ptr<const Source> inner_;
    uint64_t size_bytes_;
};

// Maps [offset, offset + length) of `inner` where it has bytes, and zeros beyond its end.
Result<void> map_zero_extended(const Source& inner, uint64_t offset, uint64_t length, PieceList& out);

// Maps what a layer of a chain does not have itself: the next layer, which may be shorter, or zeros where there is none
// (nullptr).
Result<void> map_parent(const Source* parent, uint64_t offset, uint64_t length, PieceList& out);

}  // namespace hyper
