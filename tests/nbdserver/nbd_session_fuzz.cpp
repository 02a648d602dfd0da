// SPDX-License-Identifier: Apache-2.0
// The transmission phase: a client on a socket, whose requests a generator makes of the input, with
// a loop and workers as the server has them. Every request that is whole must be answered, once, in
// the right form, with the right bytes or with an error that fits what was wrong about it; then the
// connection ends.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <map>
#include <set>
#include <string>
#include <thread>

#include "blockengine/base/log.h"
#include "blockengine/writable_file.h"
#include "nbdserver/connection.h"
#include "nbdserver/door.h"
#include "nbdserver/loop.h"
#include "nbdserver/workers.h"
#include "tests/nbdserver/fuzz_choices.h"

namespace {

using namespace hyper;
using namespace hyper::nbd;

constexpr uint64_t disk_bytes = (1 << 20) + 123;
constexpr uint64_t bad_begin = 768 << 10, bad_end = bad_begin + 4096;  // cannot be read
constexpr uint64_t hole_begin = 128 << 10, hole_end = 400 << 10;
constexpr uint64_t computed_begin = 500 << 10, computed_end = 520 << 10;
constexpr uint64_t late_begin = 600 << 10,
                   late_end = 640 << 10;  // cannot be mapped without waiting

void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "not so: %s\n", what);
    std::abort();
}

std::byte byte_at(uint64_t offset) {
    if (offset >= hole_begin && offset < hole_end) return {};
    return std::byte(static_cast<uint8_t>(offset * 31 + (offset >> 8) * 7 + 1));
}

class Pattern : public Producer {
  public:
    Result<void> produce(uint64_t offset, std::span<std::byte> out) const override {
        for (size_t i = 0; i < out.size(); ++i) out[i] = byte_at(offset + i);
        return {};
    }
};

thread_local bool in_loop = false;

// Everything that a source can be made of: a file, holes, computed bytes, what fails, and what is
// known only after a wait.
class Disk : public Source {
  public:
    explicit Disk(Io& io) {
        std::vector<std::byte> bytes(disk_bytes);
        for (uint64_t i = 0; i < disk_bytes; ++i) bytes[i] = byte_at(i);
        file_ = *File::from_bytes(bytes, "/nonexistent/disk", io);
    }
    uint64_t size_bytes() const override { return disk_bytes; }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override {
        for (uint64_t end = offset + length; offset < end && !out.full();) {
            uint64_t stop = end;
            for (uint64_t edge : {hole_begin, hole_end, computed_begin, computed_end, late_begin,
                                  late_end, bad_begin, bad_end})
                if (edge > offset) stop = std::min(stop, edge);
            if (offset >= bad_begin && offset < bad_end)
                return fail(EIO, "disk: read at offset {}: damaged", offset);
            if (offset >= late_begin && offset < late_end && in_loop)
                return fail(EAGAIN, "disk: not in memory");
            if (offset >= hole_begin && offset < hole_end)
                out.zeros(stop - offset);
            else if (offset >= computed_begin && offset < computed_end)
                out.computed(pattern_, offset, stop - offset);
            else
                out.file(file_, offset, stop - offset);
            offset = stop;
        }
        return {};
    }

  private:
    std::shared_ptr<const File> file_;
    std::shared_ptr<const Pattern> pattern_ = std::make_shared<Pattern>();
};

class Disks : public Directory {
  public:
    explicit Disks(Io& io) {
        auto fixed = std::make_shared<nbd::Export>();
        fixed->name = "disk";
        fixed->source = std::make_shared<Disk>(io);
        fixed->contexts = {allocation_context(fixed->source)};
        fixed_ = fixed;
        // In memory, so that a flush waits for no disk.
        int fd = ::memfd_create("scratch", MFD_CLOEXEC);
        require(fd >= 0 && ::ftruncate(fd, disk_bytes) == 0, "a scratch file");
        auto scratch = std::make_shared<nbd::Export>();
        scratch->name = "scratch";
        scratch->writable = *WritableFile::adopt(fd, "scratch", io);
        scratch->source = scratch->writable->source();
        scratch->contexts = {allocation_context(scratch->source)};
        scratch_ = scratch;
    }
    std::vector<Listed> list() override {
        return {{"disk", "", "disk"}, {"scratch", "", "scratch"}};
    }
    std::string disk_of(const std::string& name) override { return name; }
    Result<std::string> default_name() override { return "disk"; }
    Result<std::shared_ptr<const nbd::Export>> open(const std::string& name) override {
        if (name == "disk") return fixed_;
        if (name == "scratch") return scratch_;
        return fail(ENOENT, "no such export");
    }

  private:
    std::shared_ptr<const nbd::Export> fixed_, scratch_;
};

// The server's inside, for all inputs.
class World {
  public:
    World() {
        set_log_level(LogLevel::error);
        ::signal(SIGPIPE, SIG_IGN);  // as hypernbd has it
        loop_ = *Loop::make(engine_, workers_, nullptr);
        thread_ = std::thread([this] {
            in_loop = true;
            loop_->run();
        });
    }
    ~World() {
        loop_->stop();
        thread_.join();
    }
    // The client's end.
    int connect() {
        int ends[2];
        require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0,
                "a pair of sockets");
        loop_->post([this, fd = ends[0]] {
            Peer peer;
            peer.address = peer.origin = "fuzz";
            peer.local = true;
            peer.uid = ::geteuid();
            loop_->add(std::make_shared<Connection>(*loop_, watchers_, door_, UniqueFd(fd), peer));
        });
        return ends[1];
    }
    // Until the server has forgotten every client.
    void wait_until_alone() {
        std::promise<void> alone;
        std::function<void()> look = [&] {
            if (loop_->connections().empty())
                alone.set_value();
            else
                loop_->post(look);
        };
        loop_->post(look);
        alone.get_future().wait();
    }

  private:
    Engine engine_;
    Watchers watchers_;
    Workers workers_{2};
    std::shared_ptr<Directory> directory_ = std::make_shared<Disks>(engine_.io());
    std::shared_ptr<const Door> door_ =
        std::make_shared<Door>(directory_, Rules::for_private_socket(), nullptr);
    std::unique_ptr<Loop> loop_;
    std::thread thread_;
};

// A request that was sent, and what its reply may be: 0 for success.
struct Asked {
    uint16_t command, flags;
    uint64_t offset, length;
    std::set<int> outcomes;

    int error = -1;                                          // of the reply; -1: none came
    std::vector<std::pair<uint64_t, uint64_t>> described{};  // by content chunks
    unsigned status_chunks = 0;
};

class Client {
  public:
    explicit Client(Choices& choices) : choices_(choices) {
        mode_ = std::array{Mode::simple, Mode::structured, Mode::extended}[choices.byte() % 3];
        contexts_ = mode_ != Mode::simple && !choices.one_in(4);
        writable_ = choices.one_in(2);
        open();
        while (!choices.at_end() && !lost_ && asked_.size() < 64) ask();
    }

    std::vector<std::byte>& stream() { return stream_.bytes(); }

    // All that the server sent.
    void judge(std::span<const std::byte> sent) {
        rest_ = sent;
        skip_handshake();
        while (!rest_.empty() && reply()) {
        }
        for (auto& [cookie, asked] : asked_) {
            require(asked.error >= 0, "every request is answered");
            require(asked.outcomes.contains(asked.error), "the answer fits the request");
        }
    }

  private:
    void option(uint32_t number, std::span<const std::byte> data) {
        OptionHeader header;
        header.magic = magic_option;
        header.option = number;
        header.length = static_cast<uint32_t>(data.size());
        stream_.add(header);
        stream_.append(data);
        ++options_;
    }

    void open() {
        stream_.add(be32(3));
        if (mode_ != Mode::simple)
            option(mode_ == Mode::structured ? OPT_STRUCTURED_REPLY : OPT_EXTENDED_HEADERS, {});
        std::string_view name = writable_ ? "scratch" : "disk", context = "base:allocation";
        Stream chosen, go;
        chosen.add(be32(static_cast<uint32_t>(name.size())));
        chosen.text(name);
        chosen.add(be32(1));
        chosen.add(be32(static_cast<uint32_t>(context.size())));
        chosen.text(context);
        if (contexts_) option(OPT_SET_META_CONTEXT, chosen.bytes());
        go.add(be32(static_cast<uint32_t>(name.size())));
        go.text(name);
        go.add(be16(0));
        option(OPT_GO, go.bytes());
    }

    uint64_t some_offset() {
        return choices_.number_of({0,
                                   1,
                                   4095,
                                   4096,
                                   hole_begin - 10,
                                   hole_begin,
                                   hole_end - 1,
                                   computed_begin,
                                   computed_end - 3,
                                   late_begin,
                                   late_end - 5,
                                   bad_begin - 20000,
                                   bad_begin,
                                   bad_end,
                                   disk_bytes - 1,
                                   disk_bytes,
                                   disk_bytes - 512,
                                   1ull << 63,
                                   ~0ull,
                                   ~0ull - 511}) +
               choices_.byte() % 4 * 512;
    }
    uint64_t some_length() {
        return choices_.number_of({0, 1, 512, 4096, 5000, 65536, 65537, 200000, 262144, 300000,
                                   disk_bytes, disk_bytes + 1, payload_bytes_max,
                                   payload_bytes_max + 1, 0xffffffff, 0xfffffe00});
    }

    // One request; in one of so many cases something that ends the stream's meaning.
    void ask() {
        uint8_t what = choices_.byte();
        if (what >= 252) return lose();
        uint16_t command = what < 230 ? std::array<uint16_t, 8>{0, 0, 1, 3, 4, 5, 6, 7}[what % 8]
                                      : static_cast<uint16_t>(choices_.number());
        if (command == CMD_DISC) return disconnect();
        uint16_t flags = 0;
        if (choices_.one_in(3))
            flags = std::array<uint16_t, 8>{1, 2, 4, 8, 16, 32, 18, 0x8000}[choices_.byte() % 8];
        bool extended = mode_ == Mode::extended;
        if (extended && command == CMD_WRITE) flags |= FLAG_PAYLOAD_LEN;
        bool payload = command == CMD_WRITE || (extended && (flags & FLAG_PAYLOAD_LEN) != 0);
        uint64_t length = payload ? choices_.number_of({0, 1, 100, 512, 4096, 5000, 70000}) % 300000
                                  : some_length();
        if (!extended) length &= 0xffffffff;
        uint64_t offset = some_offset(), cookie = 1000 + asked_.size();
        add_header(flags, command, cookie, offset, length);
        if (payload) stream_.fill(length, choices_.byte());
        asked_[cookie] = {command, flags, offset, length, outcomes(command, flags, offset, length)};
    }

    void add_header(uint16_t flags, uint16_t command, uint64_t cookie, uint64_t offset,
                    uint64_t length) {
        auto fill = [&](auto wire, uint32_t magic) {
            wire.magic = magic;
            wire.flags = flags;
            wire.type = command;
            wire.cookie = cookie;
            wire.offset = offset;
            stream_.add(wire);
        };
        if (mode_ == Mode::extended) {
            ExtendedRequest wire;
            wire.length = length;
            fill(wire, magic_extended_request);
        } else {
            CompactRequest wire;
            wire.length = static_cast<uint32_t>(length);
            fill(wire, magic_request);
        }
    }

    // Everything that is wrong about a request may be what it fails with.
    std::set<int> outcomes(uint16_t command, uint16_t flags, uint64_t offset,
                           uint64_t length) const {
        bool changes = command == CMD_WRITE || command == CMD_TRIM || command == CMD_WRITE_ZEROES;
        std::set<int> wrong;
        if (command > CMD_BLOCK_STATUS) wrong.insert(EINVAL);
        if (changes && !writable_) wrong.insert(EPERM);
        unsigned allowed = writable_ ? FLAG_FUA : 0;
        if (command == CMD_READ && mode_ != Mode::simple) allowed |= FLAG_DF;
        if (command == CMD_WRITE && mode_ == Mode::extended) allowed |= FLAG_PAYLOAD_LEN;
        if (command == CMD_WRITE_ZEROES) allowed |= FLAG_NO_HOLE | FLAG_FAST_ZERO;
        if (command == CMD_BLOCK_STATUS) allowed |= FLAG_REQ_ONE;
        if ((flags & ~allowed) != 0) wrong.insert(EINVAL);
        if (command == CMD_FLUSH) {
            if (!writable_ || offset != 0 || length != 0) wrong.insert(EINVAL);
            return wrong.empty() ? std::set{0} : wrong;
        }
        if (offset > disk_bytes || length > disk_bytes - offset)
            wrong.insert(command == CMD_WRITE || command == CMD_WRITE_ZEROES ? ENOSPC : EINVAL);
        if (length > payload_bytes_max) wrong.insert(EINVAL);
        if (command == CMD_BLOCK_STATUS && !contexts_) wrong.insert(EINVAL);
        if (length == 0) {  // unspecified
            wrong.insert(EINVAL);
            wrong.insert(0);
        }
        if (!wrong.empty()) return wrong;
        bool hits_bad = !writable_ && offset < bad_end && offset + length > bad_begin;
        if (command == CMD_READ && hits_bad) return {EIO};
        if (command == CMD_BLOCK_STATUS && hits_bad) return {0, EIO};
        if (command == CMD_CACHE && hits_bad) return {0, EIO};
        if ((flags & FLAG_FAST_ZERO) != 0) return {0, ENOTSUP};
        return {0};
    }

    void disconnect() {
        add_header(0, CMD_DISC, 1, 0, 0);
        stream_.append(choices_.bytes(200));
        lost_ = true;
    }

    // What has no magic, a payload that nobody would take, a request that is not whole.
    void lose() {
        switch (choices_.byte() % 3) {
            case 0:
                stream_.fill(1, 0);
                stream_.append(choices_.bytes(200));
                break;
            case 1:
                add_header(mode_ == Mode::extended ? FLAG_PAYLOAD_LEN : 0, CMD_WRITE, 2, 0,
                           payload_bytes_max + 1);
                stream_.append(choices_.bytes(200));
                break;
            default:
                add_header(mode_ == Mode::extended ? FLAG_PAYLOAD_LEN : 0, CMD_WRITE, 2, 0, 1000);
                stream_.fill(choices_.byte(), 'x');
        }
        lost_ = true;
    }

    // Replies.

    std::span<const std::byte> take(uint64_t count) {
        require(count <= rest_.size(), "a reply is whole");
        auto taken = rest_.first(count);
        rest_ = rest_.subspan(count);
        return taken;
    }
    template <class T>
    T take() {
        T wire;
        std::memcpy(&wire, take(sizeof wire).data(), sizeof wire);
        return wire;
    }

    void skip_handshake() {
        take<Greeting>();
        for (unsigned finals = 0; finals < options_;) {
            auto header = take<OptionReplyHeader>();
            require(header.magic == magic_option_reply && (header.type & 0x80000000) == 0,
                    "the handshake succeeds");
            take(header.length);
            if (header.type == REP_ACK) ++finals;
        }
    }

    Asked& find(uint64_t cookie) {
        auto at = asked_.find(cookie);
        require(at != asked_.end() && at->second.error < 0,
                "a reply is to a request that waits for it");
        return at->second;
    }

    bool reply() {
        if (mode_ == Mode::simple) {
            auto head = take<SimpleReply>();
            require(head.magic == magic_simple_reply, "a simple reply's magic");
            Asked& asked = find(head.cookie);
            asked.error = static_cast<int>(uint32_t{head.error});
            if (asked.command == CMD_READ && asked.error == 0)
                judge_data(asked, asked.offset, take(asked.length));
            return true;
        }
        uint16_t flags, type;
        uint64_t cookie, length;
        if (mode_ == Mode::extended) {
            auto head = take<ExtendedChunkHeader>();
            require(head.magic == magic_extended_chunk, "an extended chunk's magic");
            require(head.offset == find(head.cookie).offset, "a chunk tells the request's offset");
            flags = head.flags, type = head.type, cookie = head.cookie, length = head.length;
        } else {
            auto head = take<ChunkHeader>();
            require(head.magic == magic_chunk, "a chunk's magic");
            flags = head.flags, type = head.type, cookie = head.cookie, length = head.length;
        }
        Asked& asked = find(cookie);
        require((flags & ~chunk_done) == 0, "known flags");
        std::span<const std::byte> payload = take(length);
        int error = judge_chunk(asked, flags, type, payload);
        if (error != 0) errors_[cookie] = error;
        if ((flags & chunk_done) != 0) finish(asked, errors_[cookie]);
        return true;
    }

    int judge_chunk(Asked& asked, uint16_t flags, uint16_t type,
                    std::span<const std::byte> payload) {
        switch (type) {
            case CHUNK_NONE:
                require(payload.empty() && (flags & chunk_done) != 0, "NONE is the last and empty");
                return 0;
            case CHUNK_OFFSET_DATA:
                require(asked.command == CMD_READ && payload.size() > 8,
                        "OFFSET_DATA has data for a READ");
                judge_data(asked, load_be<uint64_t>(payload.data()), payload.subspan(8));
                return 0;
            case CHUNK_OFFSET_HOLE: {
                require(asked.command == CMD_READ && payload.size() == 12,
                        "OFFSET_HOLE has 12 bytes");
                uint32_t length = load_be<uint32_t>(payload.data() + 8);
                judge_data(asked, load_be<uint64_t>(payload.data()),
                           std::vector<std::byte>(length));
                return 0;
            }
            case CHUNK_BLOCK_STATUS:
                judge_status(asked, payload, 4, 8);
                return 0;
            case CHUNK_BLOCK_STATUS_EXT:
                require(mode_ == Mode::extended, "64-bit status with extended headers only");
                judge_status(asked, payload, 8, 16);
                return 0;
            case CHUNK_ERROR:
                require(payload.size() >= 6 &&
                            load_be<uint16_t>(payload.data() + 4) == payload.size() - 6,
                        "an error's form");
                return static_cast<int>(load_be<uint32_t>(payload.data()));
            case CHUNK_ERROR_OFFSET: {
                size_t fixed = 14;
                require(payload.size() >= fixed &&
                            load_be<uint16_t>(payload.data() + 4) == payload.size() - fixed,
                        "an error's form, with its offset");
                uint64_t at = load_be<uint64_t>(payload.data() + payload.size() - 8);
                require(at >= asked.offset && at - asked.offset < asked.length,
                        "an error's offset is in the request");
                return static_cast<int>(load_be<uint32_t>(payload.data()));
            }
            default:
                require(false, "a known chunk type");
                return 0;
        }
    }

    void judge_data(Asked& asked, uint64_t offset, std::span<const std::byte> data) {
        require(offset >= asked.offset && offset + data.size() <= asked.offset + asked.length,
                "data is within the request");
        for (auto [begin, end] : asked.described)
            require(end <= offset || offset + data.size() <= begin, "data does not overlap");
        require(asked.described.empty() || (asked.flags & FLAG_DF) == 0, "DF gives one chunk");
        asked.described.emplace_back(offset, offset + data.size());
        for (size_t i = 0; !writable_ && i < data.size(); ++i)
            require(data[i] == byte_at(offset + i), "the disk's bytes");
    }

    void judge_status(Asked& asked, std::span<const std::byte> payload, size_t head, size_t each) {
        require(asked.command == CMD_BLOCK_STATUS && contexts_ && ++asked.status_chunks == 1,
                "one status chunk");
        require(payload.size() > head && (payload.size() - head) % each == 0, "whole descriptors");
        size_t count = (payload.size() - head) / each;
        require((asked.flags & FLAG_REQ_ONE) == 0 || count == 1, "REQ_ONE gives one descriptor");
        uint64_t at = asked.offset;
        for (size_t i = 0; i < count; ++i) {
            const std::byte* entry = payload.data() + head + i * each;
            uint64_t length = each == 8 ? load_be<uint32_t>(entry) : load_be<uint64_t>(entry);
            uint64_t state =
                each == 8 ? load_be<uint32_t>(entry + 4) : load_be<uint64_t>(entry + 8);
            require(length > 0 && length <= disk_bytes - at, "a descriptor within the disk");
            require(state <= 3, "known states");
            require(i == 0 || at < asked.offset + asked.length,
                    "descriptors begin within the request");
            for (uint64_t probe = at;
                 !writable_ && (state & state_zero) != 0 && probe < at + length; probe += 61)
                require(byte_at(probe) == std::byte{}, "what is told to be zero is");
            at += length;
        }
    }

    void finish(Asked& asked, int error) {
        asked.error = error;
        if (error != 0) return;
        uint64_t described = 0;
        for (auto [begin, end] : asked.described) described += end - begin;
        require(asked.command != CMD_READ || described == asked.length, "a READ is answered whole");
        require(asked.command != CMD_BLOCK_STATUS || asked.status_chunks == 1,
                "a status for the context");
    }

    Choices& choices_;
    Mode mode_;
    bool contexts_, writable_, lost_ = false;
    unsigned options_ = 0;
    Stream stream_;
    std::map<uint64_t, Asked> asked_;
    std::map<uint64_t, int> errors_;
    std::span<const std::byte> rest_;
};

// Until something can be received, or sent if that is wanted. libFuzzer's clock interrupts it, and ends what goes on for too long.
short wait_for(int fd, bool sending) {
    pollfd state{fd, static_cast<short>(POLLIN | (sending ? POLLOUT : 0)), 0};
    while (::poll(&state, 1, -1) < 0) require(errno == EINTR, "the socket can be waited for");
    return state.revents;
}

// Sends all and receives all, until the server closes. `pieces` says how many bytes are sent at a
// time.
std::vector<std::byte> converse(int fd, std::span<const std::byte> out, Choices pieces) {
    std::vector<std::byte> in;
    std::vector<std::byte> buffer(1 << 16);
    bool sending = true;
    for (;;) {
        short ready = wait_for(fd, sending);
        if ((ready & POLLOUT) != 0 && sending) {
            size_t piece = pieces.at_end() ? out.size()
                                           : std::min<size_t>(out.size(), 1u << pieces.byte() % 16);
            ssize_t sent = ::send(fd, out.data(), piece, MSG_NOSIGNAL);
            if (sent < 0 && errno != EAGAIN)
                sending = false;  // it closed: what it sent is still there
            if (sent > 0) out = out.subspan(static_cast<size_t>(sent));
            if (sending && out.empty()) {
                sending = false;
                ::shutdown(fd, SHUT_WR);
            }
        }
        if ((ready & (POLLIN | POLLHUP)) == 0) continue;
        ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
        if (got < 0 && errno == EAGAIN) continue;
        if (got <= 0) return in;
        in.insert(in.end(), buffer.begin(), buffer.begin() + got);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static World world;
    Choices choices({data, size});
    bool leaves = choices.one_in(8);
    Client client(choices);
    int fd = world.connect();
    if (leaves) {
        auto& stream = client.stream();
        [[maybe_unused]] ssize_t sent =
            ::send(fd, stream.data(), stream.size() - stream.size() / 7, MSG_NOSIGNAL);
    } else {
        client.judge(
            converse(fd, client.stream(), Choices(std::span(data, size).subspan(size - size / 4))));
    }
    ::close(fd);
    world.wait_until_alone();
    return 0;
}
