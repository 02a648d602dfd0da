// SPDX-License-Identifier: Apache-2.0
// A bucket, or one object, as a place that disks come from.
#pragma once

#include <memory>
#include <string>

#include "providers/s3/client.h"
#include "providers/s3/object.h"

namespace hyper::s3 {

// Thread-safe.
class ObjectStore : public provider::Connection {
  public:
    static Outcome<std::unique_ptr<ObjectStore>> open(provider::Host host, const hyper_call& call, const std::string& uri,
                                                      const provider::Options& options);

    const std::string& disk() const override { return disk_; }
    Outcome<void> list(const hyper_call& call, const std::function<bool(const provider::FoundDisk&)>& found) override;
    Outcome<void> check(const hyper_call& call, const std::string& disk, const provider::Finding& finding) override;
    Outcome<std::unique_ptr<provider::Snapshot>> take_snapshot(const hyper_call& call, const provider::Wish& wish) override;
    // Of kind "upload": the id of one that hyperctl push began.
    Outcome<void> clean(const hyper_call& call, const std::string& kind, const std::string& id) override;

  private:
    ObjectStore(provider::Host host, std::string uri, provider::Options options, std::shared_ptr<Client> client)
        : host_(host), uri_(std::move(uri)), options_(std::move(options)), client_(std::move(client)), disk_(client_->place().disk()) {}

    Outcome<ObjectState> state(const hyper_call& call, const std::string& disk);
    Outcome<void> check_object(const hyper_call& call, const std::string& disk, const provider::Finding& finding);

    provider::Host host_;
    const std::string uri_;
    const provider::Options options_;
    std::shared_ptr<Client> client_;
    std::string disk_;
};

// The provider's table; lives for ever.
const hyper_provider& provider_table();

}  // namespace hyper::s3
