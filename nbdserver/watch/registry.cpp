// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/watch/registry.h"

namespace hyper::watch {

OpenClient::~OpenClient() {
    registry_.remove(id_);
}

std::unique_ptr<OpenClient> Registry::add_client(ClientInfo info, std::function<void()> close) {
    std::lock_guard lock(mutex_);
    Counters& counters = counters_of(info.export_name);
    std::unique_ptr<OpenClient> client(
        new OpenClient(*this, ++last_id_, std::move(info), counters, std::move(close)));
    clients_.emplace(client->id(), client.get());
    return client;
}

void Registry::remove(uint64_t id) {
    std::lock_guard lock(mutex_);
    clients_.erase(id);
}

Counters& Registry::counters_of(const std::string& export_name) {
    auto known = exports_.find(export_name);
    if (known == exports_.end()) {
        std::string name = exports_.size() < exports_max ? export_name : others_name;
        known = exports_.try_emplace(name, exports_.size()).first;
    }
    return known->second.counters;
}

std::vector<ClientSnapshot> Registry::clients() const {
    std::lock_guard lock(mutex_);
    std::vector<ClientSnapshot> snapshots;
    snapshots.reserve(clients_.size());
    for (const auto& [id, client] : clients_)
        snapshots.push_back({id, client->info_, client->since_,
                             client->bytes_in_flight_.load(std::memory_order_relaxed),
                             client->counters_.read()});
    return snapshots;
}

std::vector<ExportSnapshot> Registry::exports() const {
    // Counters stay, so they can be summed without holding up those who come and go.
    std::vector<std::pair<ExportSnapshot, const Counters*>> found;
    {
        std::lock_guard lock(mutex_);
        std::map<const Counters*, uint64_t> open;
        for (const auto& [id, client] : clients_) ++open[&client->export_counters_];
        for (const auto& [name, opened] : exports_)
            found.push_back({{name, opened.number, open[&opened.counters], {}}, &opened.counters});
    }
    std::vector<ExportSnapshot> snapshots;
    snapshots.reserve(found.size());
    for (auto& [snapshot, counters] : found) {
        snapshot.statistics = counters->read();
        snapshots.push_back(std::move(snapshot));
    }
    return snapshots;
}

bool Registry::close_client(uint64_t id) {
    std::lock_guard lock(mutex_);
    auto client = clients_.find(id);
    if (client == clients_.end()) return false;
    client->second->close_();
    return true;
}

size_t Registry::close_clients_of(const std::string& export_name) {
    std::lock_guard lock(mutex_);
    size_t closed = 0;
    for (const auto& [id, client] : clients_) {
        if (client->info_.export_name != export_name) continue;
        client->close_();
        ++closed;
    }
    return closed;
}

uint64_t Registry::clients_since_start() const {
    std::lock_guard lock(mutex_);
    return last_id_;
}

}  // namespace hyper::watch
