// SPDX-License-Identifier: Apache-2.0
// Keys, all in one column family, so that a batch is written or lost as a whole:
//   f                                the number of this format
//   b/<block key>                    the encoded block
//   i/<block key>                    Row: its place in the order of insertion, size, cost, chain
//   m/<tenant><memory><block key>    empty: the blocks that have the memory in their chain; memory
//                                    empty: all. Strings with their length in front.
//   p/<name>                         a mark
// The order of eviction lives in memory; after a start it begins with the order of insertion.
#include "libs/kvcache/rocksdb_kv_tier.h"

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <filesystem>
#include <utility>

#include "libs/base/mutex.h"
#include "libs/kvcache/byte_codec.h"

namespace dki::kvcache {
namespace {

namespace fs = std::filesystem;

struct Row {
  uint64_t place = 0;
  int64_t size_bytes = 0;
  double recompute_seconds = 0;
  std::string tenant_id;
  std::vector<std::string> chain_memory_ids;
};

std::string EncodeRow(const Row& row) {
  std::string bytes;
  ByteWriter out(&bytes);
  out.U64(row.place);
  out.U64(static_cast<uint64_t>(row.size_bytes));
  out.U64(std::bit_cast<uint64_t>(row.recompute_seconds));
  out.String(row.tenant_id);
  out.Strings(row.chain_memory_ids);
  return bytes;
}

std::optional<Row> DecodeRow(std::string_view bytes) {
  ByteReader in(bytes);
  Row row;
  row.place = in.U64();
  row.size_bytes = static_cast<int64_t>(in.U64());
  row.recompute_seconds = std::bit_cast<double>(in.U64());
  row.tenant_id = in.String();
  row.chain_memory_ids = in.Strings();
  if (!in.ok() || !in.rest().empty() || row.size_bytes <= 0) return std::nullopt;
  return row;
}

constexpr std::string_view kFormat = "2";
constexpr std::chrono::seconds kRestAfterFailure{10};

std::string OwnerPrefix(const std::string& tenant_id, const std::string& memory_id) {
  std::string prefix = "m/";
  ByteWriter out(&prefix);
  out.String(tenant_id);
  out.String(memory_id);
  return prefix;
}

rocksdb::WriteOptions Disposable() {
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  return options;
}
rocksdb::WriteOptions Durable() {
  rocksdb::WriteOptions options;
  options.sync = true;
  return options;
}

absl::Status ToStatus(const rocksdb::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return Unavailable("disk tier: %s", status.ToString());
}

class OpenRocksDbKvTier : public RocksDbKvTier {
 public:
  OpenRocksDbKvTier(std::unique_ptr<rocksdb::DB> db, const Options& options, bool recreated)
      : db_(std::move(db)), options_(options), was_recreated_(recreated), budget_(options.budget) {
    std::map<uint64_t, std::pair<std::string, Row>> rows;  // by place
    const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator({}));
    for (it->Seek("i/"); it->Valid() && it->key().starts_with("i/"); it->Next()) {
      const std::optional<Row> row = DecodeRow(it->value().ToStringView());
      // A bad row is found and dropped when its block is asked for.
      if (row) rows[row->place] = {it->key().ToString().substr(2), *row};
    }
    MutexLock lock(&mutex_);
    for (const auto& [place, entry] : rows) {
      Hold(entry.first, entry.second);
      next_place_ = place + 1;
    }
  }

  std::optional<TierHit> Get(const BlockIdentity& identity) override {
    const std::string key = BlockKey(identity);
    auto bytes = std::make_shared<std::string>();
    std::string row_bytes;
    rocksdb::Status read = db_->Get({}, "b/" + key, bytes.get());
    if (read.ok()) read = db_->Get({}, "i/" + key, &row_bytes);
    if (read.ok()) {
      std::optional<Row> row = DecodeRow(row_bytes);
      if (row && VerifyBlock(*bytes, identity, options_.shape).ok()) {
        MutexLock lock(&mutex_);
        ++stats_.hits;
        budget_.Touch(key);
        return TierHit{{.identity = identity,
                        .chain_memory_ids = std::move(row->chain_memory_ids),
                        .bytes = std::move(bytes),
                        .recompute_seconds = row->recompute_seconds},
                       TierName::kDisk};
      }
      read = rocksdb::Status::Corruption();
    }
    MutexLock lock(&mutex_);
    ++stats_.misses;
    if (read.IsCorruption()) {
      ++stats_.corrupt;
      Change change;
      Drop(key, &change);
      if (!Write(Disposable(), &change).ok()) ++stats_.failures;
    } else if (!read.IsNotFound()) {
      ++stats_.failures;
    }
    return std::nullopt;
  }

  void Put(const StoredBlock& block) override {
    const std::string key = BlockKey(block.identity);
    Row row{.place = 0,
            .size_bytes = static_cast<int64_t>(block.bytes->size()),
            .recompute_seconds = block.recompute_seconds,
            .tenant_id = block.identity.tenant_id,
            .chain_memory_ids = block.chain_memory_ids};
    MutexLock lock(&mutex_);
    if (!budget_.Admits(row.size_bytes) || !MediumWorks()) return;
    Change change;
    Drop(key, &change);
    int64_t evicted = 0;
    while (const auto victim = budget_.Victim(row.tenant_id, row.size_bytes)) {
      Drop(*victim, &change);
      ++evicted;
    }
    row.place = next_place_++;
    Add(key, row, *block.bytes, &change.batch);
    if (Write(Disposable(), &change).ok()) {
      Hold(key, row);
      stats_.evicted += evicted;
    } else {
      CountFailure();
    }
  }

  absl::Status Erase(const std::string& tenant_id, const std::string& memory_id) override {
    MutexLock lock(&mutex_);
    Change change;
    const std::string prefix = OwnerPrefix(tenant_id, memory_id);
    int64_t n_erased = 0;
    const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator({}));
    for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix); it->Next()) {
      Drop(it->key().ToString().substr(prefix.size()), &change);
      change.batch.Delete(it->key());
      ++n_erased;
    }
    const absl::Status read = ToStatus(it->status());
    if (!read.ok()) {
      HoldAgain(change);
      return read;
    }
    if (change.batch.Count() == 0) return absl::OkStatus();
    const absl::Status written = ToStatus(Write(Durable(), &change));
    if (!written.ok()) CountFailure();
    if (written.ok()) stats_.erased += n_erased;
    return written;
  }

  TierStats Stats() const override {
    MutexLock lock(&mutex_);
    TierStats stats = stats_;
    stats.bytes = budget_.bytes();
    stats.blocks = budget_.size();
    return stats;
  }

  absl::StatusOr<std::map<std::string, int64_t>> ReadMarks() override {
    std::map<std::string, int64_t> marks;
    const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator({}));
    for (it->Seek("p/"); it->Valid() && it->key().starts_with("p/"); it->Next()) {
      ByteReader in(it->value().ToStringView());
      marks[it->key().ToString().substr(2)] = static_cast<int64_t>(in.U64());
    }
    DKI_RETURN_IF_ERROR(ToStatus(it->status()));
    return marks;
  }

  absl::Status WriteMarks(const std::map<std::string, int64_t>& marks) override {
    rocksdb::WriteBatch batch;
    for (const auto& [name, value] : marks) {
      std::string bytes;
      ByteWriter(&bytes).U64(static_cast<uint64_t>(value));
      batch.Put("p/" + name, bytes);
    }
    return ToStatus(db_->Write({}, &batch));
  }

  absl::Status ClearMarks() override {
    return ToStatus(db_->DeleteRange({}, db_->DefaultColumnFamily(), "p/", "p0"));
  }

  bool was_recreated() const override { return was_recreated_; }

 private:
  // A batch, and the rows that it drops.
  struct Change {
    rocksdb::WriteBatch batch;
    std::vector<std::pair<std::string, Row>> dropped;
  };

  void CountFailure() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    ++stats_.failures;
    refuse_until_ = std::chrono::steady_clock::now() + kRestAfterFailure;
  }

  // After a failed write nothing is admitted for a while: a block would be taken into memory, and
  // pile up there, while the disk is full. RocksDB recovers by itself meanwhile.
  bool MediumWorks() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (std::chrono::steady_clock::now() >= refuse_until_) return true;
    ++stats_.failures;
    return false;
  }

  // All of it or nothing.
  rocksdb::Status Write(const rocksdb::WriteOptions& options, Change* change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const rocksdb::Status status = db_->Write(options, &change->batch);
    if (!status.ok()) HoldAgain(*change);
    return status;
  }

  void Hold(const std::string& key, const Row& row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    budget_.Add(key, row.tenant_id,
                {.size_bytes = row.size_bytes, .recompute_seconds = row.recompute_seconds});
  }
  void HoldAgain(const Change& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (const auto& [key, row] : change.dropped) Hold(key, row);
  }

  static void Add(const std::string& key, const Row& row, const std::string& bytes,
                  rocksdb::WriteBatch* batch) {
    batch->Put("b/" + key, bytes);
    batch->Put("i/" + key, EncodeRow(row));
    batch->Put(OwnerPrefix(row.tenant_id, "") + key, "");
    for (const std::string& id : row.chain_memory_ids) {
      batch->Put(OwnerPrefix(row.tenant_id, id) + key, "");
    }
  }

  void Drop(const std::string& key, Change* change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::string row_bytes;
    std::optional<Row> row;
    if (db_->Get({}, "i/" + key, &row_bytes).ok()) row = DecodeRow(row_bytes);
    if (row && budget_.Holds(key)) change->dropped.push_back({key, *row});
    budget_.Remove(key);
    if (row_bytes.empty()) return;
    change->batch.Delete("b/" + key);
    change->batch.Delete("i/" + key);
    if (!row) return;
    change->batch.Delete(OwnerPrefix(row->tenant_id, "") + key);
    for (const std::string& id : row->chain_memory_ids) {
      change->batch.Delete(OwnerPrefix(row->tenant_id, id) + key);
    }
  }

  const std::unique_ptr<rocksdb::DB> db_;
  const Options options_;
  const bool was_recreated_;
  mutable Mutex mutex_;
  TierBudget budget_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_place_ ABSL_GUARDED_BY(mutex_) = 0;
  std::chrono::steady_clock::time_point refuse_until_ ABSL_GUARDED_BY(mutex_);
  TierStats stats_ ABSL_GUARDED_BY(mutex_);
};

rocksdb::Options DatabaseOptions(const RocksDbKvTier::Options& options) {
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
  database.write_buffer_size = 32 << 20;
  database.max_background_jobs = 2;
  database.keep_log_file_num = 2;
  if (options.env != nullptr) database.env = options.env;
  return database;
}

rocksdb::Status OpenDatabase(const RocksDbKvTier::Options& options,
                             std::unique_ptr<rocksdb::DB>* db) {
  rocksdb::DB* opened = nullptr;
  rocksdb::Status status = rocksdb::DB::Open(DatabaseOptions(options), options.path, &opened);
  db->reset(opened);
  if (!status.ok()) return status;
  std::string format;
  status = opened->Get({}, "f", &format);
  if (status.ok() && format == kFormat) return status;
  const std::unique_ptr<rocksdb::Iterator> it(opened->NewIterator({}));
  it->SeekToFirst();
  if (status.IsNotFound() && !it->Valid() && it->status().ok()) {
    return opened->Put(Durable(), "f", rocksdb::Slice(kFormat.data(), kFormat.size()));
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

absl::StatusOr<std::unique_ptr<RocksDbKvTier>> RocksDbKvTier::Open(const Options& options) {
  std::error_code error;
  fs::create_directories(options.path, error);
  if (error) return Unavailable("disk tier: cannot make %s: %s", options.path, error.message());
  const std::string aside = options.path + ".damaged";
  fs::remove_all(aside, error);  // of a start that ended here
  std::unique_ptr<rocksdb::DB> db;
  rocksdb::Status opened = OpenDatabase(options, &db);
  if (opened.IsIOError() && opened.ToString().find("lock") != std::string::npos) {
    return FailedPrecondition("disk tier: %s is in use: %s", options.path, opened.ToString());
  }
  bool recreated = false;
  if (!opened.ok() && IsDamage(opened)) {
    db.reset();
    fs::rename(options.path, aside, error);
    if (error) return Unavailable("disk tier: cannot move %s aside", options.path);
    fs::create_directories(options.path, error);
    opened = OpenDatabase(options, &db);
    recreated = true;
    fs::remove_all(aside, error);
  }
  if (!opened.ok()) return Unavailable("disk tier: %s: %s", options.path, opened.ToString());
  return std::make_unique<OpenRocksDbKvTier>(std::move(db), options, recreated);
}

}  // namespace dki::kvcache
