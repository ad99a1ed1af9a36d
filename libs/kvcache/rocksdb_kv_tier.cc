// SPDX-License-Identifier: Apache-2.0
// Keys, all in one column family, so that a batch is written or lost as a whole:
//   f                                the number of this format
//   b/<block key>                    the encoded block
//   i/<block key>                    Row: its place in the order of insertion, size, cost,
//   identity,
//                                    chain, attributes
//   m/<tenant><memory><block key>    empty: the blocks that have the memory in their chain; memory
//                                    empty: all. Strings with their length in front.
//   p/<name>                         a mark
//   s                                present: files may hold what was erased
// The order of eviction lives in memory; after a start it begins with the order of insertion.
#include "libs/kvcache/rocksdb_kv_tier.h"

#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <filesystem>
#include <thread>
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
  int n_tokens = 0;
  BlockIdentity identity;
  BlockAttributes attributes;
  std::vector<std::string> chain_memory_ids;
};

constexpr uint64_t kNever = ~uint64_t{0};

std::string EncodeRow(const Row& row) {
  std::string bytes;
  ByteWriter out(&bytes);
  out.U64(row.place);
  out.U64(static_cast<uint64_t>(row.size_bytes));
  out.U64(std::bit_cast<uint64_t>(row.recompute_seconds));
  out.U32(static_cast<uint32_t>(row.n_tokens));
  out.String(row.identity.tenant_id);
  out.String(row.identity.memory_id);
  out.String(row.identity.content_hash);
  out.String(row.identity.model_fingerprint);
  out.String(row.identity.chain_hash);
  out.U32(static_cast<uint32_t>(row.identity.format));
  out.Strings(row.chain_memory_ids);
  out.String(row.attributes.user_id);
  out.U32(row.attributes.pinned ? 1 : 0);
  out.U32(static_cast<uint32_t>(row.attributes.priority));
  const bool expires = row.attributes.expire_time != absl::InfiniteFuture();
  out.U64(expires ? static_cast<uint64_t>(absl::ToUnixMicros(row.attributes.expire_time)) : kNever);
  return bytes;
}

std::optional<Row> DecodeRow(std::string_view bytes) {
  ByteReader in(bytes);
  Row row;
  row.place = in.U64();
  row.size_bytes = static_cast<int64_t>(in.U64());
  row.recompute_seconds = std::bit_cast<double>(in.U64());
  row.n_tokens = static_cast<int>(in.U32());
  row.identity.tenant_id = in.String();
  row.identity.memory_id = in.String();
  row.identity.content_hash = in.String();
  row.identity.model_fingerprint = in.String();
  row.identity.chain_hash = in.String();
  row.identity.format = static_cast<kernels::KvFormat>(in.U32());
  row.chain_memory_ids = in.Strings();
  row.attributes.user_id = in.String();
  row.attributes.pinned = in.U32() != 0;
  row.attributes.priority = static_cast<int>(in.U32());
  const uint64_t expiry = in.U64();
  if (expiry != kNever) {
    row.attributes.expire_time = absl::FromUnixMicros(static_cast<int64_t>(expiry));
  }
  if (!in.ok() || !in.rest().empty() || row.size_bytes <= 0) return std::nullopt;
  return row;
}

std::string Format(const RocksDbKvTier::Options& options) {
  return options.is_sealed ? "7 sealed" : "7";
}

constexpr const char* kPending = "s";
constexpr std::chrono::seconds kRestAfterFailure{2};
// A second in all.
constexpr int kBusyAttempts = 50;
constexpr std::chrono::milliseconds kBusyPause{20};

std::string AsideOf(const std::string& path) {
  return path + ".damaged";
}

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
  options.no_slowdown = true;  // fails (Incomplete) where it would have to wait
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
    std::string pending;
    scrubber_ = std::make_unique<DiskScrubber>([this] { return Rewrite(); },
                                               !db_->Get({}, kPending, &pending).IsNotFound(),
                                               options.scrub, options.scrub_pending);
    if (recreated) {
      removing_ = std::thread([aside = AsideOf(options.path)] {
        std::error_code ignored;  // else at the next start
        fs::remove_all(aside, ignored);
      });
    }
  }
  ~OpenRocksDbKvTier() override {
    rocksdb::CancelAllBackgroundWork(db_.get(), false);  // a rewrite under way is done again
    scrubber_ = nullptr;
    if (removing_.joinable()) removing_.join();
  }

  std::optional<TierHit> Get(const BlockIdentity& identity) override {
    const std::string key = BlockKey(identity);
    if (DropIfExpired(key)) return std::nullopt;
    std::string bytes;
    std::string row_bytes;
    rocksdb::Status read = db_->Get({}, "b/" + key, &bytes);
    if (read.ok()) read = db_->Get({}, "i/" + key, &row_bytes);
    if (read.ok()) {
      std::optional<Row> row = DecodeRow(row_bytes);
      if (row && options_.verify(bytes, identity).ok()) {
        MutexLock lock(&mutex_);
        ++stats_.hits;
        budget_.Touch(key);
        return TierHit{{.identity = identity,
                        .chain_memory_ids = std::move(row->chain_memory_ids),
                        .bytes = std::move(bytes),
                        .recompute_seconds = row->recompute_seconds,
                        .n_tokens = row->n_tokens,
                        .attributes = row->attributes},
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

  std::optional<TierPlace> Find(const BlockIdentity& identity) const override {
    const std::string key = BlockKey(identity);
    MutexLock lock(&mutex_);
    const std::optional<int64_t> size = budget_.SizeOf(key);
    if (!size || budget_.IsExpired(key)) return std::nullopt;
    return TierPlace{TierName::kDisk, *size};
  }

  void Put(const StoredBlock& block) override {
    const std::string key = BlockKey(block.identity);
    Row row{.place = 0,
            .size_bytes = static_cast<int64_t>(block.bytes->size()),
            .recompute_seconds = block.recompute_seconds,
            .n_tokens = block.n_tokens,
            .identity = block.identity,
            .attributes = block.attributes,
            .chain_memory_ids = block.chain_memory_ids};
    for (int attempt = 0; attempt < kBusyAttempts; ++attempt) {
      if (!TryPut(key, &row, *block.bytes).IsIncomplete()) return;
      std::this_thread::sleep_for(kBusyPause);  // not under the lock: readers go on
    }
    MutexLock lock(&mutex_);
    ++stats_.failures;
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
    if (change.batch.Count() == 0) {
      scrubber_->OnErasure();  // of blocks that were evicted before, if any
      return absl::OkStatus();
    }
    ++n_erasures_;
    change.batch.Put(kPending, "");
    const absl::Status written = ToStatus(Write(Durable(), &change));
    if (!written.ok()) CountFailure();
    if (written.ok()) stats_.erased += n_erased;
    scrubber_->OnWrite(true);
    scrubber_->OnErasure();
    return written;
  }

  TierStats Stats() const override {
    MutexLock lock(&mutex_);
    TierStats stats = stats_;
    stats.bytes = budget_.bytes();
    stats.blocks = budget_.size();
    stats.pinned_bytes = budget_.pinned_bytes();
    stats.pins_refused = budget_.pins_refused();
    return stats;
  }

  int64_t DropExpired() override {
    MutexLock lock(&mutex_);
    return DropAll(budget_.Expired());
  }

  std::vector<BlockInfo> List(const std::string& tenant_id,
                              const std::string& memory_id) const override {
    std::vector<BlockInfo> blocks;
    const std::string prefix = OwnerPrefix(tenant_id, memory_id);
    const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator({}));
    for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix); it->Next()) {
      const std::string key = it->key().ToString().substr(prefix.size());
      std::string row_bytes;
      if (!db_->Get({}, "i/" + key, &row_bytes).ok()) continue;
      const std::optional<Row> row = DecodeRow(row_bytes);
      MutexLock lock(&mutex_);
      const auto entry = budget_.InfoOf(key);
      if (!row || !entry) continue;
      blocks.push_back({.identity = row->identity,
                        .chain_memory_ids = row->chain_memory_ids,
                        .tier = TierName::kDisk,
                        .n_tokens = row->n_tokens,
                        .bytes = row->size_bytes,
                        .hits = entry->hits,
                        .added = entry->added,
                        .attributes = row->attributes,
                        .pinned = entry->pinned});
    }
    return blocks;
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

  std::optional<absl::Time> GoneTime(absl::Time time) const override {
    return scrubber_->GoneTime(time);
  }
  bool scrub_is_pending() const override { return scrubber_->IsPending(); }
  bool was_recreated() const override { return was_recreated_; }

 private:
  // A batch, and the rows that it drops.
  struct Change {
    rocksdb::WriteBatch batch;
    std::vector<std::pair<std::string, Row>> dropped;
  };

  // Writes all that is alive anew: RocksDB drops files, blob files included, only as a whole.
  absl::Status Rewrite() {
    int64_t n_erasures = 0;
    {
      MutexLock lock(&mutex_);
      n_erasures = n_erasures_;
    }
    DKI_RETURN_IF_ERROR(ToStatus(db_->Flush({})));
    rocksdb::CompactRangeOptions options;
    options.exclusive_manual_compaction = false;
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
    options.blob_garbage_collection_policy = rocksdb::BlobGarbageCollectionPolicy::kForce;
    options.blob_garbage_collection_age_cutoff = 1.0;
    DKI_RETURN_IF_ERROR(ToStatus(db_->CompactRange(options, nullptr, nullptr)));
    MutexLock lock(&mutex_);
    if (n_erasures != n_erasures_) return absl::OkStatus();  // the next rewrite follows
    return ToStatus(db_->Delete({}, kPending));
  }

  // Incomplete: RocksDB cannot take it at the moment.
  rocksdb::Status TryPut(const std::string& key, Row* row, std::string_view bytes) {
    MutexLock lock(&mutex_);
    if (!budget_.Admits(row->size_bytes) || !MediumWorks()) return {};
    Change change;
    Drop(key, &change);
    int64_t evicted = 0;
    while (const auto victim = budget_.Victim(row->identity.tenant_id, row->size_bytes)) {
      Drop(*victim, &change);
      ++evicted;
    }
    row->place = next_place_++;
    Add(key, *row, bytes, &change.batch);
    const rocksdb::Status written = Write(Disposable(), &change);
    if (written.ok()) {
      Hold(key, *row);
      stats_.evicted += evicted;
    } else if (!written.IsIncomplete()) {
      CountFailure();
    }
    return written;
  }

  void CountFailure() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    ++stats_.failures;
    has_failed_ = true;
    refuse_until_ = std::chrono::steady_clock::now() + kRestAfterFailure;
  }

  // After a failed write nothing is admitted for a while: a block would be taken into memory, and
  // pile up there, while the disk is full. Then RocksDB is told to go on, if it can.
  bool MediumWorks() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (std::chrono::steady_clock::now() < refuse_until_) {
      ++stats_.failures;
      return false;
    }
    if (!has_failed_) return true;
    if (!db_->Resume().ok()) {
      CountFailure();
      return false;
    }
    has_failed_ = false;
    return true;
  }

  bool DropIfExpired(const std::string& key) {
    MutexLock lock(&mutex_);
    if (!budget_.IsExpired(key)) return false;
    ++stats_.misses;
    DropAll({key});
    return true;
  }
  // What has expired. Returns how many.
  int64_t DropAll(const std::vector<std::string>& keys) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (keys.empty()) return 0;
    Change change;
    for (const std::string& key : keys) Drop(key, &change);
    if (!Write(Durable(), &change).ok()) {  // tried again by the next sweep
      CountFailure();
      return 0;
    }
    stats_.expired += static_cast<int64_t>(keys.size());
    return static_cast<int64_t>(keys.size());
  }

  // All of it or nothing.
  rocksdb::Status Write(const rocksdb::WriteOptions& options, Change* change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const rocksdb::Status status = db_->Write(options, &change->batch);
    if (!status.ok()) HoldAgain(*change);
    // What was evicted, replaced, expired or damaged lies in the files until they are rewritten.
    if (status.ok()) scrubber_->OnWrite(!change->dropped.empty());
    return status;
  }

  void Hold(const std::string& key, const Row& row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    budget_.Add(key, row.identity.tenant_id,
                {.size_bytes = row.size_bytes,
                 .recompute_seconds = row.recompute_seconds,
                 .priority = row.attributes.priority},
                {.pinned = row.attributes.pinned, .expire_time = row.attributes.expire_time});
  }
  void HoldAgain(const Change& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (const auto& [key, row] : change.dropped) Hold(key, row);
  }

  static void Add(const std::string& key, const Row& row, std::string_view bytes,
                  rocksdb::WriteBatch* batch) {
    batch->Put("b/" + key, bytes);
    batch->Put("i/" + key, EncodeRow(row));
    batch->Put(OwnerPrefix(row.identity.tenant_id, "") + key, "");
    for (const std::string& id : row.chain_memory_ids) {
      batch->Put(OwnerPrefix(row.identity.tenant_id, id) + key, "");
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
    change->batch.Delete(OwnerPrefix(row->identity.tenant_id, "") + key);
    for (const std::string& id : row->chain_memory_ids) {
      change->batch.Delete(OwnerPrefix(row->identity.tenant_id, id) + key);
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
  bool has_failed_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t n_erasures_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<DiskScrubber> scrubber_;
  std::thread removing_;  // of a damaged database
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
  database.write_buffer_size = options.write_buffer_bytes;
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
  const std::string wanted = Format(options);
  if (status.ok() && format == wanted) return status;
  const std::unique_ptr<rocksdb::Iterator> it(opened->NewIterator({}));
  it->SeekToFirst();
  if (status.IsNotFound() && !it->Valid() && it->status().ok()) {
    return opened->Put(Durable(), "f", wanted);
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
  const std::string aside = AsideOf(options.path);
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
  }
  if (!opened.ok()) return Unavailable("disk tier: %s: %s", options.path, opened.ToString());
  Options complete = options;
  if (!complete.verify) {
    complete.verify = [shape = options.shape](std::string_view bytes,
                                              const BlockIdentity& identity) {
      return VerifyBlock(bytes, identity, shape);
    };
  }
  return std::make_unique<OpenRocksDbKvTier>(std::move(db), complete, recreated);
}

}  // namespace dki::kvcache
