// SPDX-License-Identifier: Apache-2.0
#include "convert/volume/lazy.h"

#include <cerrno>

#include "blockengine/base/hex.h"

namespace hyper {

namespace {

Result<std::shared_ptr<const Image>> open_named(Engine& engine, const LazySource& source) {
    OpenOptions options;
    options.snapshot = source.snapshot;
    if (!source.format.empty()) {
        options.format = parse_format(source.format);
        if (!options.format) return fail(EINVAL, "{}: format \"{}\" is not known", source.name, source.format);
    }
    return open_image(engine, source.name, options);
}

}  // namespace

Result<void> identify_lazy_source(Engine& engine, LazySource& source, bool trusted) {
    auto image = TRY(open_named(engine, source));
    source.size_bytes = image->size_bytes();
    if (image->identity().lasting)
        source.identity = hex(image->identity().digest);
    else if (!trusted)
        return fail(EINVAL, "{}: does not say which state of the disk it has, so a change would go unseen (--trust says that there will be none)",
                    image->path());
    return {};
}

Result<std::shared_ptr<const Source>> open_lazy_source(Engine& engine, const LazySource& source) {
    auto image = TRY(open_named(engine, source));
    bool same = image->size_bytes() == source.size_bytes && (source.identity.empty() || source.identity == hex(image->identity().digest));
    if (!same) return fail(ESTALE, "{}: is not what it was when the volume began to be filled from it; what is missing is not there any more", image->path());
    return image;
}

}  // namespace hyper
