// SPDX-License-Identifier: Apache-2.0
// Purpose: the disk tier's RocksDB: how it is set up (values apart from keys, direct I/O where the
//   file system has it, no compression, paced compactions), opened, and begun anew when it is
//   damaged or of another format.
// Thread-safety: the functions are; of a DB: as RocksDB says.
#pragma once

#include <rocksdb/db.h>

#include <memory>
#include <string>

#include "libs/base/status.h"

namespace dki::kvcache {

struct DiskDatabaseOptions {
  std::string path;
  std::string format;           // a database of another one is begun anew
  rocksdb::Env* env = nullptr;  // null: the machine's own
  size_t write_buffer_bytes = size_t{32} << 20;
};

struct OpenedDatabase {
  std::unique_ptr<rocksdb::DB> db;
  // A damaged one was moved to MovedAside(path) before.
  bool recreated = false;
};

// FAILED_PRECONDITION when another process has it open, UNAVAILABLE when even an empty database
// cannot be made there.
absl::StatusOr<OpenedDatabase> OpenDiskDatabase(const DiskDatabaseOptions& options);
std::string MovedAside(const std::string& path);

// How a row is written that can be computed again (an error, Incomplete, where it would have to
// wait), and one that must not be lost; how a block is read, which has a checksum of its own.
rocksdb::WriteOptions Disposable();
rocksdb::WriteOptions Durable();
rocksdb::ReadOptions Unchecked();

// Whether a file can be written there now.
bool TakesWrites(const DiskDatabaseOptions& options);

}  // namespace dki::kvcache
