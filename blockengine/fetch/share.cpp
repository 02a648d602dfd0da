// SPDX-License-Identifier: Apache-2.0
#include "blockengine/fetch/share.h"

#include <charconv>
#include <cstdlib>
#include <mutex>
#include <string_view>

#include "blockengine/base/log.h"

namespace hyper {

FetchShare::FetchShare(std::shared_ptr<CacheFile> cache_file, size_t memory_bytes_max)
    : memory(memory_bytes_max),
      cache(std::move(cache_file)),
      writer(cache ? std::make_unique<CacheWriter>(cache) : nullptr) {}

Result<CacheWish> parse_cache_wish(const std::string& text) {
    auto refused = [&] {
        return fail(EINVAL, "cache \"{}\": not PATH:SIZE (try /var/cache/hyper/blocks:10G)", text);
    };
    size_t colon = text.rfind(':');
    if (colon == std::string::npos || colon == 0) return refused();
    std::string_view size = std::string_view(text).substr(colon + 1);
    uint64_t number = 0;
    auto [rest, error] = std::from_chars(size.data(), size.data() + size.size(), number);
    std::string_view unit(rest, size.data() + size.size());
    constexpr std::string_view units = "KMGT";
    size_t nth = unit.size() == 1 ? units.find(unit[0]) : std::string_view::npos;
    if (error != std::errc() || (!unit.empty() && nth == std::string_view::npos)) return refused();
    auto bytes = checked_multiply(number, unit.empty() ? 1 : uint64_t{1} << 10 * (nth + 1));
    if (!bytes || *bytes > disk_bytes_max) return refused();
    return CacheWish{text.substr(0, colon), *bytes};
}

namespace {

std::mutex mutex;
std::optional<CacheWish> wished;            // guarded by mutex
std::shared_ptr<FetchShare> made;           // guarded by mutex

std::shared_ptr<CacheFile> open_wished() {
    Result<std::shared_ptr<CacheFile>> opened = nullptr;
    if (!wished) {
        const char* text = std::getenv("HYPER_CACHE");
        if (text == nullptr || *text == '\0') return nullptr;
        auto wish = parse_cache_wish(text);
        if (wish)
            wished = *wish;
        else
            opened = tl::unexpected(wish.error());
    }
    if (wished) opened = CacheFile::open(wished->path, wished->size_bytes);
    if (opened) return *opened;
    log_warning("{}; going on without a cache", opened.error().message);
    return nullptr;
}

}  // namespace

void use_cache(CacheWish wish) {
    std::lock_guard lock(mutex);
    wished = std::move(wish);
}

std::shared_ptr<FetchShare> process_share() {
    std::lock_guard lock(mutex);
    if (!made) made = std::make_shared<FetchShare>(open_wished());
    return made;
}

}  // namespace hyper
