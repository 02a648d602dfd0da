// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/estimate.h"

#include <algorithm>
#include <cerrno>

namespace hyper::scheduler {
namespace {

constexpr int64_t block_bytes = 512 * 1024, blocks_a_page = 10'000, month_hours = 730;
constexpr const char* account = "estimate";

int64_t divide_up(int64_t value, int64_t by) { return value / by + (value % by > 0); }

Result<int64_t> times(int64_t a, int64_t b) {
    int64_t product = 0;
    if (__builtin_mul_overflow(a, b, &product)) return fail(ERANGE, "{} times {} is too much to be priced", a, b);
    return product;
}

// Of a run that reads blocks: pages of their list.
int64_t pages_of(int64_t blocks) { return std::max<int64_t>(1, divide_up(blocks, blocks_a_page)); }

class Bill {
  public:
    Bill(const Prices& prices, Instant when) : meter_(prices), prices_(prices), when_(when) {}

    Result<const PriceList*> find(const PriceKey& key) const { return find_price(prices_, key, when_); }

    // `each` times `runs`, of what the list prices; `before` is what the month has seen already.
    Result<void> add(std::string element, const PriceList& list, std::string_view base, int64_t each, int64_t runs, int64_t before = 0) {
        if (list.unit.base != base) return fail(EINVAL, "price of {} is for a {}, which is no count of {}s", list.key.text(), list.unit.name, base);
        int64_t quantity = TRY(times(each, runs));
        if (before > 0) TRY(meter_.use(account, list.key, when_, before));
        Charge charge = TRY(meter_.use(account, list.key, when_, quantity));
        for (const InvoiceLine& part : charge.lines)
            estimate_.lines.push_back({element, part.key, part.quantity, part.unit, part.price, list.currency, list.effective, list.source, part.amount});
        Money& total = estimate_.totals[list.currency];
        if (__builtin_add_overflow(total.nanos, charge.total.nanos, &total.nanos)) return fail(ERANGE, "the total does not fit");
        return {};
    }
    Result<void> add_requests(std::string element, const PriceKey& key, int64_t each, int64_t runs) {
        const PriceList* list = TRY(find(key));
        return add(std::move(element), *list, "request", each, runs);
    }
    Estimate take() { return std::move(estimate_); }

  private:
    Meter meter_;
    const Prices& prices_;
    Instant when_;
    Estimate estimate_;
};

Result<void> add_reads(Bill& bill, const SyncToPrice& syncs) {
    const Place& from = *syncs.from;
    if (!from.storage_class.empty()) {
        TRY(bill.add_requests("read requests", get_key(from), divide_up(syncs.changed_bytes, syncs.part_bytes), syncs.runs));
        auto retrieval = bill.find(retrieval_key(from));
        if (retrieval) return bill.add("retrieval", **retrieval, "byte", syncs.changed_bytes, syncs.runs);
        // A class without a minimum takes nothing for reading; for one with a minimum the price is missing.
        const PriceList* storage = TRY(bill.find(storage_key(from)));
        return hours_min_of(*storage) > 0 ? Result<void>(tl::unexpected(retrieval.error())) : Result<void>();
    }
    if (from.vendor != "aws")
        return fail(EINVAL, "{}: how a disk is read there has no price of its own; name a class of objects that it is read from ({}/CLASS)", from.text(), from.text());
    int64_t blocks = divide_up(syncs.changed_bytes, block_bytes);
    TRY(bill.add_requests("list changed blocks", block_api_key(from, "list"), pages_of(blocks), syncs.runs));
    return bill.add_requests("get blocks of 512 KiB", block_api_key(from, "get"), blocks, syncs.runs);
}

Result<void> add_way(Bill& bill, const Prices& prices, const SyncToPrice& syncs, Instant when) {
    bool same_vendor = syncs.from && syncs.to && syncs.from->vendor == syncs.to->vendor;
    if (same_vendor && syncs.from->region == syncs.to->region) return {};
    if (same_vendor) {
        const PriceList* price = TRY(find_cross_region_price(prices, *syncs.from, syncs.to->region, when));
        return bill.add("egress to " + syncs.to->region, *price, "byte", syncs.sent_bytes, syncs.runs, syncs.sent_before_bytes);
    }
    if (syncs.from) {
        const PriceList* price = TRY(bill.find(egress_key(*syncs.from)));
        TRY(bill.add("egress to the internet", *price, "byte", syncs.sent_bytes, syncs.runs, syncs.sent_before_bytes));
    }
    if (!syncs.to) return {};
    auto ingress = bill.find(ingress_key(*syncs.to));
    return ingress ? bill.add("ingress", **ingress, "byte", syncs.sent_bytes, syncs.runs) : Result<void>();
}

Result<void> add_writes(Bill& bill, const SyncToPrice& syncs) {
    const Place& to = *syncs.to;
    if (to.storage_class.empty() && to.vendor == "aws")
        return bill.add_requests("put blocks of 512 KiB", block_api_key(to, "put"), divide_up(syncs.sent_bytes, block_bytes), syncs.runs);
    if (to.storage_class.empty()) return fail(EINVAL, "{}: into which class of its object storage? ({}/CLASS)", to.text(), to.text());
    int64_t parts = divide_up(syncs.sent_bytes, syncs.part_bytes);
    return bill.add_requests("write requests", put_key(to), parts > 1 ? parts + 2 : parts, syncs.runs);
}

}  // namespace

int64_t read_requests(const SyncToPrice& syncs) {
    if (!syncs.from || syncs.from_disk) return 0;
    if (!syncs.from->storage_class.empty()) return divide_up(syncs.changed_bytes, syncs.part_bytes);
    int64_t blocks = divide_up(syncs.changed_bytes, block_bytes);
    return blocks + pages_of(blocks);
}

Result<Estimate> estimate_syncs(const Prices& prices, const SyncToPrice& syncs, Instant when) {
    if (syncs.changed_bytes < 0 || syncs.sent_bytes < 0 || syncs.runs < 0 || syncs.sent_before_bytes < 0 || syncs.part_bytes <= 0)
        return fail(EINVAL, "{} bytes in parts of {}, {} times, are no syncs", syncs.changed_bytes, syncs.part_bytes, syncs.runs);
    Bill bill(prices, when);
    if (syncs.from && !syncs.from_disk) TRY(add_reads(bill, syncs));
    TRY(add_way(bill, prices, syncs, when));
    if (syncs.to && !syncs.to_disk) TRY(add_writes(bill, syncs));
    return bill.take();
}

Result<Estimate> estimate_storage(const Prices& prices, const GenerationsToPrice& generations, Instant when) {
    Bill bill(prices, when);
    bool objects = !generations.at.storage_class.empty();
    const PriceList* list = TRY(bill.find(objects ? storage_key(generations.at) : snapshot_key(generations.at, "standard")));
    TRY(bill.add("storage", *list, "byte-hour", generations.stored_bytes, month_hours));
    if (generations.early_byte_hours > 0) TRY(bill.add("deleted before its minimum", *list, "byte-hour", generations.early_byte_hours, 1));
    return bill.take();
}

Result<Estimate> sum(Estimate one, const Estimate& other) {
    one.lines.insert(one.lines.end(), other.lines.begin(), other.lines.end());
    for (const auto& [currency, total] : other.totals) {
        Money& so_far = one.totals[currency];
        if (__builtin_add_overflow(so_far.nanos, total.nanos, &so_far.nanos)) return fail(ERANGE, "the total in {} does not fit", currency);
    }
    return one;
}

}  // namespace hyper::scheduler
