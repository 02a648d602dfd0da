// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cerrno>

#include "tools/hyperctl/size.h"
#include "tools/hyperctl/volume_command.h"
#include "tools/hyperctl/volume_operand.h"

namespace hyper::ctl {

namespace {

struct CreateOptions {
    VolumeRoot root;
    std::string name, block_size = "64K", data_file_size = "1G";
    bool no_compress = false;
};

Result<int> create(Engine& engine, const CreateOptions& options) {
    auto operand = TRY(options.root.operand(options.name));
    TRY(operand.refuse_generation());
    uint64_t block_bytes = TRY(parse_size(options.block_size));
    if (block_bytes > block_bytes_max)
        return fail(EINVAL, "--block-size {}: must be a power of two from 4K to 4M", options.block_size);
    VolumeOptions made;
    made.block_bytes = static_cast<uint32_t>(block_bytes);
    made.compress = !options.no_compress;
    made.data_file_bytes_max = TRY(parse_size(options.data_file_size));
    if (made.data_file_bytes_max < 64 << 20 || made.data_file_bytes_max > uint64_t{1} << 40)
        return fail(EINVAL, "--data-file-size {}: must be from 64M to 1T", options.data_file_size);
    TRY(options.root.create(engine, operand, made));
    return exit_ok;
}

}  // namespace

void add_volume_create(CLI::App& volume, Command& chosen) {
    auto* command = volume.add_subcommand("create", "Make a volume, without a generation yet");
    auto options = std::make_shared<CreateOptions>();
    command->add_option("VOLUME", options->name, VolumeRoot::help)->required();
    options->root.add_to(*command);
    command->add_option("--block-size", options->block_size, "what is stored and compared as one: 4K to 4M (64K)")->type_name("SIZE");
    command->add_flag("--no-compress", options->no_compress, "store blocks as they are");
    command->add_option("--data-file-size", options->data_file_size, "how large a data file gets (1G)")->type_name("SIZE");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return create(engine, *options); };
    });
}

}  // namespace hyper::ctl
