// SPDX-License-Identifier: Apache-2.0
// A file has first all products by SKU, with their attributes, then terms by SKU: OnDemand, by offer, with price dimensions, each of which is a tier.
#include "scheduler/cost/import/aws.h"

#include <algorithm>
#include <cerrno>
#include <map>

#include "scheduler/cost/import/json.h"
#include "scheduler/cost/keys.h"

namespace hyper::scheduler {
namespace {

constexpr size_t products_max = 200'000;
constexpr size_t attributes_max = 200;

struct Wanted {
    std::string_view service;     // AWS's
    std::string_view usage_type;  // without the prefix of a region
    std::string_view key_service, family, sku;
};
constexpr Wanted wanted[] = {
    {"AmazonEC2", "EBS:SnapshotUsage", "ebs", "snapshot", "standard"},
    {"AmazonEC2", "EBS:SnapshotArchiveStorage", "ebs", "snapshot", "archive"},
    {"AmazonEC2", "EBS:SnapshotArchiveRetrieval", "ebs", "retrieval", "archive"},
    {"AmazonEC2", "EBS:directAPI.snapshot.List", "ebs", "direct", "list"},
    {"AmazonEC2", "EBS:directAPI.snapshot.Get", "ebs", "direct", "get"},
    {"AmazonEC2", "EBS:directAPI.snapshot.Put", "ebs", "direct", "put"},
    {"AmazonS3", "TimedStorage-ByteHrs", "s3", "storage", "standard"},
    {"AmazonS3", "TimedStorage-SIA-ByteHrs", "s3", "storage", "ia"},
    {"AmazonS3", "TimedStorage-ZIA-ByteHrs", "s3", "storage", "onezone-ia"},
    {"AmazonS3", "TimedStorage-GIR-ByteHrs", "s3", "storage", "glacier-ir"},
    {"AmazonS3", "TimedStorage-GlacierByteHrs", "s3", "storage", "glacier"},
    {"AmazonS3", "TimedStorage-GDA-ByteHrs", "s3", "storage", "deep-archive"},
    {"AmazonS3", "Requests-Tier1", "s3", "requests", "standard-put"},
    {"AmazonS3", "Requests-Tier2", "s3", "requests", "standard-get"},
    {"AmazonS3", "Requests-SIA-Tier1", "s3", "requests", "ia-put"},
    {"AmazonS3", "Requests-SIA-Tier2", "s3", "requests", "ia-get"},
    {"AmazonS3", "Requests-ZIA-Tier1", "s3", "requests", "onezone-ia-put"},
    {"AmazonS3", "Requests-ZIA-Tier2", "s3", "requests", "onezone-ia-get"},
    {"AmazonS3", "Requests-GIR-Tier1", "s3", "requests", "glacier-ir-put"},
    {"AmazonS3", "Requests-GIR-Tier2", "s3", "requests", "glacier-ir-get"},
    {"AmazonS3", "Requests-GLACIER-Tier1", "s3", "requests", "glacier-put"},
    {"AmazonS3", "Requests-GLACIER-Tier2", "s3", "requests", "glacier-get"},
    {"AmazonS3", "Requests-GDA-Tier1", "s3", "requests", "deep-archive-put"},
    {"AmazonS3", "Requests-GDA-Tier2", "s3", "requests", "deep-archive-get"},
    {"AmazonS3", "Retrieval-SIA", "s3", "retrieval", "ia"},
    {"AmazonS3", "Retrieval-ZIA", "s3", "retrieval", "onezone-ia"},
    {"AmazonS3", "Retrieval-GIR", "s3", "retrieval", "glacier-ir"},
    {"AWSDataTransfer", "DataTransfer-Out-Bytes", "net", "egress", "internet"},
    {"AWSDataTransfer", "DataTransfer-In-Bytes", "net", "ingress", "internet"},
};

// "APS1-EBS:SnapshotUsage" is "EBS:SnapshotUsage" in one region; in the first one it has no prefix.
bool is_usage(std::string_view usage_type, std::string_view name) {
    if (usage_type == name) return true;
    if (!usage_type.ends_with(name) || usage_type.size() < name.size() + 3) return false;
    std::string_view prefix = usage_type.substr(0, usage_type.size() - name.size());
    if (prefix.size() > 6 || prefix.back() != '-') return false;
    prefix.remove_suffix(1);
    return std::all_of(prefix.begin(), prefix.end(), [](char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); });
}

struct Product {
    PriceKey key;
    std::string usage_type, attributes;
};

using Attributes = std::map<std::string, std::string, std::less<>>;

const std::string& attribute(const Attributes& of, std::string_view name) {
    static const std::string none;
    auto found = of.find(name);
    return found == of.end() ? none : found->second;
}

std::optional<Product> product_of(const Attributes& of, const std::string& sku) {
    const std::string &usage = attribute(of, "usagetype"), &service = attribute(of, "servicecode");
    std::string region = attribute(of, attribute(of, "transferType") == "AWS Inbound" ? "toRegionCode" : "fromRegionCode");
    if (region.empty()) region = attribute(of, "regionCode");
    // Local zones and the like have the code of their region, and prices of their own.
    for (const char* kind : {"locationType", "fromLocationType"})
        if (const std::string& is = attribute(of, kind); !is.empty() && is != "AWS Region" && is != "Other") return std::nullopt;
    Product product{{"aws", "", "", region, ""}, usage, "id=" + sku};
    if (service == "AWSDataTransfer" && attribute(of, "transferType") == "InterRegion Outbound" && usage.ends_with("AWS-Out-Bytes") &&
        !attribute(of, "toRegionCode").empty()) {
        product.key.service = "net", product.key.family = "egress", product.key.sku = "to-" + attribute(of, "toRegionCode");
        return product;
    }
    for (const Wanted& one : wanted) {
        if (one.service != service || !is_usage(usage, one.usage_type)) continue;
        // Of the archives' requests those that write have another price than the others of their tier.
        bool archive = one.sku == "glacier-put" || one.sku == "deep-archive-put";
        if (archive && !attribute(of, "operation").empty() && attribute(of, "operation") != "PutObject") continue;
        product.key.service = one.key_service, product.key.family = one.family, product.key.sku = one.sku;
        int days = one.family != "snapshot" ? one.family == "storage" ? days_min_of_class("aws", one.sku) : 0 : one.sku == "archive" ? 90 : 0;
        if (days > 0) product.attributes = "min=" + std::to_string(days) + "d;" + product.attributes;
        return product;
    }
    return std::nullopt;
}

std::string our_unit(const std::string& unit, const PriceKey& key) {
    if (unit == "GB-Mo" || unit == "GB-month") return "GiB-month";
    if (unit == "Requests" || unit == "Request" || unit == "SnapshotAPIUnits") return "request";
    if (unit == "GB" || unit == "GBytes") return key.family == "retrieval" ? "GiB" : "GB";
    return unit;  // which is refused
}

class Reader : public JsonEvents {
  public:
    explicit Reader(PriceCollector& into) : into_(into) {}

    Result<void> begin(JsonKind) override {
        path_.push_back(std::move(name_));
        name_.clear();
        if (at("terms", 2) && !had_products_) return fail(EINVAL, "\"terms\" come before \"products\"");
        if (at("products", 3)) sku_attributes_.clear();
        if (is_dimension()) dimension_ = {};
        if (path_.size() == 5 && path_[1] == "terms") effective_.clear();
        return {};
    }
    Result<void> name(std::string& name) override {
        name_ = std::move(name);
        return {};
    }
    Result<void> end() override {
        if (at("products", 3)) TRY(take_product());
        if (is_dimension()) take_dimension();
        if (at("products", 2)) had_products_ = true;
        path_.pop_back();
        name_.clear();
        return {};
    }
    Result<void> value(JsonKind, std::string& text) override {
        if (path_.size() == 1 && name_ == "publicationDate") published_ = text.substr(0, 10);
        if (path_.size() == 1 && name_ == "offerCode") offer_ = text.substr(0, 40);
        if (path_.size() == 4 && path_[1] == "products" && path_[3] == "attributes" && sku_attributes_.size() < attributes_max)
            sku_attributes_.emplace(std::move(name_), std::move(text));
        if (path_.size() == 5 && path_[1] == "terms" && name_ == "effectiveDate") effective_ = std::move(text);
        if (is_dimension()) {
            if (name_ == "unit") dimension_.unit = std::move(text);
            if (name_ == "beginRange") dimension_.begin = std::move(text);
            if (name_ == "endRange") dimension_.end = std::move(text);
        }
        if (path_.size() == 8 && path_[1] == "terms" && path_[5] == "priceDimensions" && path_[7] == "pricePerUnit") {
            dimension_.currencies++;
            dimension_.currency = std::move(name_), dimension_.price = std::move(text);
        }
        return {};
    }

    bool is_price_file() const { return had_products_; }

  private:
    // path_: "", products, SKU, attributes; "", terms, OnDemand, SKU, SKU.TERM, priceDimensions, RATE, pricePerUnit
    bool at(std::string_view top, size_t depth) const { return path_.size() == depth && path_[1] == top; }
    bool is_dimension() const { return path_.size() == 7 && path_[1] == "terms" && path_[2] == "OnDemand" && path_[5] == "priceDimensions"; }

    Result<void> take_product() {
        auto product = product_of(sku_attributes_, path_[2]);
        if (!product) {
            into_.pass();
            return {};
        }
        if (products_.size() >= products_max) return fail(EFBIG, "more than {} products that are wanted", products_max);
        products_.emplace(path_[2], std::move(*product));
        return {};
    }

    void take_dimension() {
        auto found = products_.find(path_[3]);
        if (found == products_.end()) return;
        const Product& product = found->second;
        std::string name = product.usage_type + " (" + path_[3] + ")";
        auto price = parse_decimal(dimension_.price), begin = parse_decimal(dimension_.begin.empty() ? "0" : dimension_.begin);
        auto end = dimension_.end.empty() || dimension_.end == "Inf" ? Result<Money>(Money{}) : parse_decimal(dimension_.end);
        for (const Result<Money>* number : {&price, &begin, &end})
            if (!*number) return into_.refuse_key(product.key, name, number->error().message);
        if (dimension_.currencies != 1) return into_.refuse_key(product.key, name, std::to_string(dimension_.currencies) + " currencies in one price");
        into_.add({.name = name, .key = product.key, .attributes = product.attributes, .unit = our_unit(dimension_.unit, product.key), .start = *begin,
                   .end = *end == Money{} ? std::nullopt : std::optional(*end), .price = *price, .currency = dimension_.currency,
                   .effective = effective_, .source = "AWS price list " + offer_ + " of " + published_});
    }

    struct Dimension {
        std::string unit, begin, end, currency, price;
        int currencies = 0;
    };

    PriceCollector& into_;
    std::vector<std::string> path_;
    std::string name_;
    Attributes sku_attributes_;
    std::map<std::string, Product> products_;
    std::string offer_, published_, effective_;
    Dimension dimension_;
    bool had_products_ = false;
};

}  // namespace

Result<void> import_aws(std::istream& in, std::string_view file, PriceCollector& into) {
    Reader reader(into);
    TRY(read_json(in, file, reader));
    if (!reader.is_price_file()) return fail(EINVAL, "{}: has no \"products\" (a price file is the index.json of a service and region)", file);
    return {};
}

}  // namespace hyper::scheduler
