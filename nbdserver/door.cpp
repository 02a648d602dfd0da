// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/door.h"

#include <cerrno>

namespace hyper::nbd {

namespace {

// What one client may see of a directory.
class AllowedDirectory : public Directory {
  public:
    AllowedDirectory(std::shared_ptr<Directory> all, std::shared_ptr<const Rules> rules, Peer peer)
        : all_(std::move(all)), rules_(std::move(rules)), peer_(std::move(peer)) {}

    std::vector<Listed> list() override {
        std::vector<Listed> exports = all_->list();
        std::erase_if(exports, [&](const Listed& item) { return rules_->may(peer_, item.disk) == Access::none; });
        return exports;
    }

    Result<std::shared_ptr<const Export>> open(const std::string& wanted) override {
        std::string name = wanted.empty() ? TRY(all_->default_name()) : wanted;
        Access access = rules_->may(peer_, all_->disk_of(name));
        if (access == Access::none) return fail(EACCES, "{}: no rule lets this client see it", name);
        auto exported = TRY(all_->open(name));
        if (access == Access::write || !exported->writable) return exported;
        auto read_only = std::make_shared<Export>(*exported);
        read_only->writable = nullptr;
        return read_only;
    }

    std::string disk_of(const std::string& name) override { return all_->disk_of(name); }
    Result<std::string> default_name() override { return all_->default_name(); }

  private:
    const std::shared_ptr<Directory> all_;
    const std::shared_ptr<const Rules> rules_;
    const Peer peer_;
};

}  // namespace

void Door::change(std::shared_ptr<const Rules> rules, std::shared_ptr<const TlsCredentials> credentials) {
    std::lock_guard lock(mutex_);
    rules_ = std::move(rules);
    credentials_ = std::move(credentials);
}

std::shared_ptr<const Rules> Door::rules() const {
    std::lock_guard lock(mutex_);
    return rules_;
}

std::shared_ptr<const TlsCredentials> Door::credentials() const {
    std::lock_guard lock(mutex_);
    return credentials_;
}

std::shared_ptr<Directory> Door::directory_for(const Peer& peer) const {
    return std::make_shared<AllowedDirectory>(directory_, rules(), peer);
}

}  // namespace hyper::nbd
