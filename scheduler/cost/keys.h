// SPDX-License-Identifier: Apache-2.0
// The names under which prices are kept, the same for all vendors, so that a sync can be priced wherever it goes. SKU names of
// vendors stand in a price's attributes.
//
//     what                              service             family     region       sku
//     stored snapshots                  ebs disk pd         snapshot   its region   standard, archive
//     block API of EBS                  ebs                 direct     its region   list, get, put (of blocks of 512 KiB)
//     stored objects                    s3 blob gcs object  storage    its region   a class: standard, ia, hot, cool, nearline, ...
//     requests that write and list      s3 blob gcs object  requests   its region   CLASS-put
//     requests that read                s3 blob gcs object  requests   its region   CLASS-get
//     reading from a cold class         s3 blob gcs object  retrieval  its region   a class
//     sent to the internet              net                 egress     its region   internet
//     sent to another region            net                 egress     its region   to-REGION, else region
//     received                          net                 ingress    its region   internet
//
// A price that is the same everywhere has the region "any", and one of all requests the SKU "any"; OCI's egress has the regions na-eu,
// apac-sa and me-af, its three parts of the world.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "scheduler/cost/prices.h"

namespace hyper::scheduler {

// "aws:us-east-1" or "aws:us-east-1/standard".
struct Place {
    std::string vendor, region;
    std::string storage_class;  // "" where none is named
    std::string text() const { return vendor + ":" + region + (storage_class.empty() ? "" : "/" + storage_class); }
};
// EINVAL for what has not that form.
Result<Place> parse_place(std::string_view text);

PriceKey snapshot_key(const Place& place, std::string_view sku);
PriceKey block_api_key(const Place& place, std::string_view call);
PriceKey storage_key(const Place& place);
PriceKey put_key(const Place& place);
PriceKey get_key(const Place& place);
PriceKey retrieval_key(const Place& place);
PriceKey egress_key(const Place& place);
PriceKey ingress_key(const Place& place);

// The list for a key on a day: of its region, else of the part of the world that it is in, else of all regions. ENOENT that names the key.
Result<const PriceList*> find_price(const Prices& prices, const PriceKey& key, Instant day);
// From one region of a vendor to another.
Result<const PriceList*> find_cross_region_price(const Prices& prices, const Place& from, std::string_view to_region, Instant day);

// The days that an object of a class is billed for at least; 0 for most. Vendors' rules, which are not in their price feeds:
// docs.aws.amazon.com/AmazonS3 storage-class-intro, learn.microsoft.com access-tiers-overview, cloud.google.com/storage/docs/storage-classes,
// docs.oracle.com Object Storage tiers; snapshots: EBS archive and GCP archive 90 days.
int days_min_of_class(std::string_view vendor, std::string_view storage_class);
// "min=30d" of a list's attributes, in hours; 0 where there is none.
int64_t hours_min_of(const PriceList& list);

}  // namespace hyper::scheduler
