// SPDX-License-Identifier: Apache-2.0
// How clients come in: whether by TLS, and what each may then see.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "nbdserver/export.h"
#include "nbdserver/locks/peer.h"
#include "nbdserver/locks/rules.h"
#include "nbdserver/locks/tls.h"

namespace hyper::nbd {

// Thread-safe. What is changed holds for clients that come later; nobody is dropped.
class Door {
  public:
    // `credentials` are nullptr for a door without TLS.
    Door(std::shared_ptr<Directory> directory, std::shared_ptr<const Rules> rules,
         std::shared_ptr<const TlsCredentials> credentials)
        : directory_(std::move(directory)), rules_(std::move(rules)), credentials_(std::move(credentials)) {}

    void change(std::shared_ptr<const Rules> rules, std::shared_ptr<const TlsCredentials> credentials);

    std::shared_ptr<const Rules> rules() const;
    std::shared_ptr<const TlsCredentials> credentials() const;
    // The exports that the rules allow this client, and no word of others. To be asked when its identity is known.
    std::shared_ptr<Directory> directory_for(const Peer& peer) const;

  private:
    const std::shared_ptr<Directory> directory_;
    mutable std::mutex mutex_;
    std::shared_ptr<const Rules> rules_;                  // guarded by mutex_
    std::shared_ptr<const TlsCredentials> credentials_;  // guarded by mutex_
};

}  // namespace hyper::nbd
