// SPDX-License-Identifier: Apache-2.0
// Design note: each sync of a small file costs a commit of the file system's journal, and a sync of a volume opens its index each time. So
//   - no OPTIONS file is written: it says what our own code says, and would be synced twice at each open;
//   - a folder is synced only where a name was made in it since it was synced last. RocksDB syncs it again with the first sync of a new log,
//     whose name came before the one that the folder was synced for.
#include "blockengine/volume/index_files.h"

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <mutex>
#include <set>
#include <string>

namespace hyper {

namespace {

using rocksdb::DirFsyncOptions;
using rocksdb::FileOptions;
using rocksdb::FSDirectory;
using rocksdb::FSWritableFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

// Folders of which all names are durable. Thread-safe.
class SyncedFolders {
  public:
    void name_made(const std::string& file) {
        std::lock_guard lock(mutex_);
        synced_.erase(file.substr(0, file.rfind('/')));
    }
    // Does `sync` unless nothing is to be synced; others wait until it is done. A name that is made meanwhile is to be synced again.
    template <class Sync>
    IOStatus sync(const std::string& folder, const Sync& sync) {
        std::lock_guard lock(mutex_);
        if (synced_.contains(folder)) return IOStatus::OK();
        IOStatus status = sync();
        if (status.ok()) synced_.insert(folder);
        return status;
    }

  private:
    std::mutex mutex_;
    std::set<std::string> synced_;  // guarded by mutex_
};

class Folder : public rocksdb::FSDirectoryWrapper {
  public:
    Folder(std::unique_ptr<FSDirectory> folder, std::string path, std::shared_ptr<SyncedFolders> synced)
        : FSDirectoryWrapper(std::move(folder)), path_(std::move(path)), synced_(std::move(synced)) {
        while (path_.ends_with('/')) path_.pop_back();
    }
    IOStatus Fsync(const IOOptions& options, IODebugContext* context) override {
        return synced_->sync(path_, [&] { return FSDirectoryWrapper::Fsync(options, context); });
    }
    IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* context, const DirFsyncOptions& how) override {
        return synced_->sync(path_, [&] { return FSDirectoryWrapper::FsyncWithDirOptions(options, context, how); });
    }

  private:
    std::string path_;
    const std::shared_ptr<SyncedFolders> synced_;
};

class IndexFiles : public rocksdb::FileSystemWrapper {
  public:
    IndexFiles() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
    const char* Name() const override { return "hyper index"; }

    IOStatus NewWritableFile(const std::string& path, const FileOptions& options, std::unique_ptr<FSWritableFile>* file,
                             IODebugContext* context) override {
        if (path.substr(path.rfind('/') + 1).starts_with("OPTIONS-")) return IOStatus::NotSupported("left out", path);
        IOStatus status = FileSystemWrapper::NewWritableFile(path, options, file, context);
        synced_->name_made(path);
        return status;
    }
    IOStatus ReopenWritableFile(const std::string& path, const FileOptions& options, std::unique_ptr<FSWritableFile>* file,
                                IODebugContext* context) override {
        IOStatus status = FileSystemWrapper::ReopenWritableFile(path, options, file, context);
        synced_->name_made(path);
        return status;
    }
    IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path, const FileOptions& options,
                               std::unique_ptr<FSWritableFile>* file, IODebugContext* context) override {
        IOStatus status = FileSystemWrapper::ReuseWritableFile(path, old_path, options, file, context);
        synced_->name_made(path);
        return status;
    }
    IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options, IODebugContext* context) override {
        IOStatus status = FileSystemWrapper::RenameFile(from, to, options, context);
        synced_->name_made(to);
        return status;
    }
    IOStatus LinkFile(const std::string& from, const std::string& to, const IOOptions& options, IODebugContext* context) override {
        IOStatus status = FileSystemWrapper::LinkFile(from, to, options, context);
        synced_->name_made(to);
        return status;
    }
    IOStatus NewDirectory(const std::string& path, const IOOptions& options, std::unique_ptr<FSDirectory>* folder,
                          IODebugContext* context) override {
        IOStatus status = FileSystemWrapper::NewDirectory(path, options, folder, context);
        if (status.ok()) *folder = std::make_unique<Folder>(std::move(*folder), path, synced_);
        return status;
    }

  private:
    const std::shared_ptr<SyncedFolders> synced_ = std::make_shared<SyncedFolders>();
};

}  // namespace

std::unique_ptr<rocksdb::Env> make_index_env() { return rocksdb::NewCompositeEnv(std::make_shared<IndexFiles>()); }

}  // namespace hyper
