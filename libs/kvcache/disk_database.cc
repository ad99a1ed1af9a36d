// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/disk_database.h"

#include <fcntl.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/rate_limiter.h>
#include <rocksdb/table.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "libs/kvcache/disk_rows.h"

namespace dki::kvcache {
namespace {

namespace fs = std::filesystem;

// Of compactions and flushes, which shall not take the disk from those who read.
constexpr int64_t kBackgroundBytesPerSecond = int64_t{256} << 20;

// Whether the file system there can read past the page cache.
bool HasDirectReads(const std::string& path) {
  const std::string probe = path + "/direct-probe";
  const int file = ::open(probe.c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
  if (file >= 0) ::close(file);
  ::unlink(probe.c_str());
  return file >= 0;
}

rocksdb::Options DatabaseOptions(const DiskDatabaseOptions& options) {
  rocksdb::Options database;
  database.create_if_missing = true;
  database.compression = rocksdb::kNoCompression;  // planes are dense
  // Values apart from keys: a block is written once, not at every level.
  database.enable_blob_files = true;
  database.min_blob_size = 4096;
  database.blob_file_size = 64 << 20;
  database.enable_blob_garbage_collection = true;
  database.blob_garbage_collection_age_cutoff = 0.5;
  database.blob_garbage_collection_force_threshold = 0.5;
  database.write_buffer_size = options.write_buffer_bytes;
  database.max_background_jobs = 2;
  database.keep_log_file_num = 2;
  // What is read often is in the RAM tier, so the page cache would hold it twice.
  if (HasDirectReads(options.path)) {
    database.use_direct_reads = true;
    database.use_direct_io_for_flush_and_compaction = true;
  }
  database.rate_limiter.reset(rocksdb::NewGenericRateLimiter(kBackgroundBytesPerSecond));
  rocksdb::BlockBasedTableOptions table;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  database.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  if (options.env != nullptr) database.env = options.env;
  return database;
}

rocksdb::Status Open(const DiskDatabaseOptions& options, std::unique_ptr<rocksdb::DB>* db) {
  rocksdb::DB* opened = nullptr;
  rocksdb::Status status = rocksdb::DB::Open(DatabaseOptions(options), options.path, &opened);
  db->reset(opened);
  if (!status.ok()) return status;
  std::string format;
  status = opened->Get({}, kDiskFormatKey, &format);
  if (status.ok() && format == options.format) return status;
  const std::unique_ptr<rocksdb::Iterator> it(opened->NewIterator({}));
  it->SeekToFirst();
  if (status.IsNotFound() && !it->Valid() && it->status().ok()) {
    rocksdb::WriteOptions durable;
    durable.sync = true;
    return opened->Put(durable, kDiskFormatKey, options.format);
  }
  if (status.ok() || status.IsNotFound()) status = it->status();
  if (status.ok()) status = rocksdb::Status::Corruption("another format", format);
  return status;
}

// A damaged or missing manifest, not a disk that fails for other reasons.
bool IsDamage(const rocksdb::Status& status) {
  return status.IsCorruption() || status.IsNotFound() || status.IsPathNotFound() ||
         status.IsInvalidArgument() || status.IsIncomplete();
}

}  // namespace

rocksdb::WriteOptions Disposable() {
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  options.no_slowdown = true;  // fails (Incomplete) where it would have to wait
  return options;
}
rocksdb::WriteOptions Durable() {
  rocksdb::WriteOptions options;
  options.sync = true;
  return options;
}
rocksdb::ReadOptions Unchecked() {
  rocksdb::ReadOptions options;
  options.verify_checksums = false;
  return options;
}

std::string MovedAside(const std::string& path) {
  return path + ".damaged";
}

absl::StatusOr<OpenedDatabase> OpenDiskDatabase(const DiskDatabaseOptions& options) {
  std::error_code error;
  fs::create_directories(options.path, error);
  if (error) return Unavailable("disk tier: cannot make %s: %s", options.path, error.message());
  const std::string aside = MovedAside(options.path);
  fs::remove_all(aside, error);  // of a start that ended here
  OpenedDatabase result;
  rocksdb::Status opened = Open(options, &result.db);
  if (opened.IsIOError() && opened.ToString().find("lock") != std::string::npos) {
    return FailedPrecondition("disk tier: %s is in use: %s", options.path, opened.ToString());
  }
  if (!opened.ok() && IsDamage(opened)) {
    result.db.reset();
    fs::rename(options.path, aside, error);
    if (error) return Unavailable("disk tier: cannot move %s aside", options.path);
    fs::create_directories(options.path, error);
    opened = Open(options, &result.db);
    result.recreated = true;
  }
  if (!opened.ok()) return Unavailable("disk tier: %s: %s", options.path, opened.ToString());
  return result;
}

bool TakesWrites(const DiskDatabaseOptions& options) {
  rocksdb::Env* env = options.env != nullptr ? options.env : rocksdb::Env::Default();
  const std::string probe = options.path + "/write-probe";
  std::unique_ptr<rocksdb::WritableFile> file;
  rocksdb::Status status = env->NewWritableFile(probe, &file, rocksdb::EnvOptions());
  if (status.ok()) status = file->Append("probe");
  if (status.ok()) status = file->Sync();
  if (file != nullptr) {
    const rocksdb::Status closed = file->Close();
    if (status.ok()) status = closed;
  }
  env->DeleteFile(probe).PermitUncheckedError();
  return status.ok();
}

}  // namespace dki::kvcache
