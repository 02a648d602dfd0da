// SPDX-License-Identifier: Apache-2.0
// Who may read and write which disks, as a TOML file says it:
//
//     [[allow]]
//     who = ["user:alice", "cert:backup01.example"]
//     read = ["web01/*", "db"]
//     write = ["scratch-?"]
//
//     [limits]
//     connections = 4096
//
// Whoever is named in `who` of a rule may read the disks of its `read`, and read and write those of
// its `write`.
//
//     uid:1000  user:alice         the process at the other end of a Unix socket, by its user
//     gid:6     group:backup       the same, by any of its groups
//     cert:backup01.example        a TLS client whose certificate has this common name or DNS name
//     psk:backup01                 a TLS client with the key of this identity
//     local                        everybody whom the Unix socket's own mode and folder let in
//
// Disks are named by NAME alone; its views and snapshots come with it (Catalog::disk_of() knows
// which disk an export name means: by its text alone nobody can tell web01's fixed VHD from another
// disk that is called web01.fixed). In a pattern * stands for any run of bytes, "/" too, and ? for
// any one. What no rule allows is forbidden. A key that is not known here is an error, lest a
// misspelt one opens or closes a door.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "blockengine/base/result.h"
#include "nbdserver/locks/peer.h"

namespace hyper {

enum class Access { none, read, write };  // write includes read

// Keys of [limits].
struct Limits {
    unsigned connections = 4096;           // in all; 1 to 1000000
    unsigned connections_per_peer = 1024;  // of one Peer::origin; 1 to 1000000
    unsigned handshake_seconds = 10;       // from accept to the transmission phase; 1 to 3600
};

// Immutable and thread-safe: a reload makes new ones.
class Rules {
  public:
    // Users and groups are looked up now; one that does not exist is an error. Errors: those of
    // read_config_file(); EINVAL with file, line, key and what would be right.
    static Result<std::shared_ptr<const Rules>> load(const std::string& path);
    // Where no file is given: the user that this process runs as, and root, may do everything over
    // a Unix socket.
    static std::shared_ptr<const Rules> for_private_socket();

    // The most that any rule allows.
    Access may(const Peer& peer, std::string_view disk) const;
    const Limits& limits() const { return limits_; }

  private:
    friend class RulesReader;
    struct Who {
        enum class Kind { uid, gid, certificate, psk, local } kind;
        uint32_t id = 0;
        std::string name;
        bool is(const Peer& peer) const;
    };
    struct Rule {
        std::vector<Who> who;
        std::vector<std::string> read, write;
    };

    std::vector<Rule> rules_;
    Limits limits_;
};

}  // namespace hyper
