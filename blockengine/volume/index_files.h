// SPDX-License-Identifier: Apache-2.0
// How an index's files are written: as RocksDB does it, without what costs time and keeps nothing.
#pragma once

#include <memory>

namespace rocksdb {
class Env;
}

namespace hyper {

// For one RocksDB that is opened to be written; it must outlive it. Thread-safe.
std::unique_ptr<rocksdb::Env> make_index_env();

}  // namespace hyper
