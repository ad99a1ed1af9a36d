// SPDX-License-Identifier: Apache-2.0
// The order of eviction lives in memory; after a start it begins with the order of insertion.
#include "libs/kvcache/rocksdb_kv_tier.h"

#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>
#include <utility>

#include "libs/base/mutex.h"
#include "libs/kvcache/byte_codec.h"
#include "libs/kvcache/disk_database.h"
#include "libs/kvcache/disk_rows.h"

namespace dki::kvcache {
namespace {

constexpr std::chrono::seconds kRestAfterFailure{2};
// A second in all.
constexpr int kBusyAttempts = 50;
constexpr std::chrono::milliseconds kBusyPause{20};

DiskDatabaseOptions DatabaseOptions(const RocksDbKvTier::Options& options) {
  return {.path = options.path,
          .format = options.is_sealed ? "7 sealed" : "7",
          .env = options.env,
          .write_buffer_bytes = options.write_buffer_bytes};
}

absl::Status ToStatus(const rocksdb::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return Unavailable("disk tier: %s", status.ToString());
}

class OpenRocksDbKvTier : public RocksDbKvTier {
 public:
  OpenRocksDbKvTier(OpenedDatabase opened, const Options& options)
      : options_(options),
        was_recreated_(opened.recreated),
        db_(std::move(opened.db)),
        budget_(std::make_unique<TierBudget>(options.budget)) {
    const Rows rows = ReadRows(db_.get());
    MutexLock lock(&mutex_);
    HoldAll(rows);
    std::string pending;
    scrubber_ = std::make_unique<DiskScrubber>(
        [this] { return Rewrite(); }, !db_->Get({}, kDiskPendingKey, &pending).IsNotFound(),
        options.scrub, options.scrub_pending);
    if (was_recreated_) RemoveAside();
  }
  ~OpenRocksDbKvTier() override {
    // A rewrite under way is done again.
    if (const auto db = Database()) rocksdb::CancelAllBackgroundWork(db.get(), false);
    scrubber_ = nullptr;
    if (removing_.joinable()) removing_.join();
  }

  std::optional<TierHit> Get(const BlockIdentity& identity) override {
    const std::string key = BlockKey(identity);
    if (DropIfExpired(key)) return std::nullopt;
    std::string bytes;
    std::string row_bytes;
    const std::shared_ptr<rocksdb::DB> db = Database();
    rocksdb::Status read = rocksdb::Status::Aborted();
    if (db != nullptr) read = db->Get(Unchecked(), DiskBlockKey(key), &bytes);
    if (read.ok()) read = db->Get({}, DiskRowKey(key), &row_bytes);
    if (read.ok()) {
      std::optional<DiskRow> row = DecodeDiskRow(row_bytes);
      if (row && options_.verify(bytes, identity).ok()) {
        MutexLock lock(&mutex_);
        ++stats_.hits;
        budget_->Touch(key);
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
    if (read.IsCorruption() && db_ != nullptr) {
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
    const std::optional<int64_t> size = budget_->SizeOf(key);
    if (!size || budget_->IsExpired(key)) return std::nullopt;
    return TierPlace{TierName::kDisk, *size};
  }

  void Put(const StoredBlock& block) override {
    const std::string key = BlockKey(block.identity);
    DiskRow row{.place = 0,
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
    if (!MediumWorks()) return Unavailable("disk tier: it fails, and is tried again");
    MutexLock lock(&mutex_);
    if (db_ == nullptr) return Unavailable("disk tier: it fails, and is tried again");
    Change change;
    const std::string prefix = DiskOwnerPrefix(tenant_id, memory_id);
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
    change.batch.Put(kDiskPendingKey, "");
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
    stats.bytes = budget_->bytes();
    stats.blocks = budget_->size();
    stats.pinned_bytes = budget_->pinned_bytes();
    stats.pins_refused = budget_->pins_refused();
    return stats;
  }

  int64_t DropExpired() override {
    MutexLock lock(&mutex_);
    return DropAll(budget_->Expired());
  }

  std::vector<BlockInfo> List(const std::string& tenant_id,
                              const std::string& memory_id) const override {
    std::vector<BlockInfo> blocks;
    const std::shared_ptr<rocksdb::DB> db = Database();
    if (db == nullptr) return blocks;
    const std::string prefix = DiskOwnerPrefix(tenant_id, memory_id);
    const std::unique_ptr<rocksdb::Iterator> it(db->NewIterator({}));
    for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix); it->Next()) {
      const std::string key = it->key().ToString().substr(prefix.size());
      std::string row_bytes;
      if (!db->Get({}, DiskRowKey(key), &row_bytes).ok()) continue;
      const std::optional<DiskRow> row = DecodeDiskRow(row_bytes);
      MutexLock lock(&mutex_);
      const auto entry = budget_->InfoOf(key);
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
    DKI_ASSIGN_OR_RETURN(const std::shared_ptr<rocksdb::DB> db, WorkingDatabase());
    std::map<std::string, int64_t> marks;
    const std::unique_ptr<rocksdb::Iterator> it(db->NewIterator({}));
    for (it->Seek(kDiskMarkPrefix); it->Valid() && it->key().starts_with(kDiskMarkPrefix);
         it->Next()) {
      ByteReader in(it->value().ToStringView());
      marks[it->key().ToString().substr(kDiskMarkPrefix.size())] = static_cast<int64_t>(in.U64());
    }
    DKI_RETURN_IF_ERROR(ToStatus(it->status()));
    return marks;
  }

  absl::Status WriteMarks(const std::map<std::string, int64_t>& marks) override {
    DKI_ASSIGN_OR_RETURN(const std::shared_ptr<rocksdb::DB> db, WorkingDatabase());
    rocksdb::WriteBatch batch;
    for (const auto& [name, value] : marks) {
      std::string bytes;
      ByteWriter(&bytes).U64(static_cast<uint64_t>(value));
      batch.Put(DiskMarkKey(name), bytes);
    }
    return ToStatus(db->Write({}, &batch));
  }

  absl::Status ClearMarks() override {
    DKI_ASSIGN_OR_RETURN(const std::shared_ptr<rocksdb::DB> db, WorkingDatabase());
    return ToStatus(db->DeleteRange({}, db->DefaultColumnFamily(), kDiskMarkPrefix, kDiskMarkEnd));
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
    std::vector<std::pair<std::string, DiskRow>> dropped;
  };

  // Null: it has failed and is to be opened again.
  std::shared_ptr<rocksdb::DB> Database() const {
    MutexLock lock(&mutex_);
    return db_;
  }
  absl::StatusOr<std::shared_ptr<rocksdb::DB>> WorkingDatabase() const {
    std::shared_ptr<rocksdb::DB> db = Database();
    if (db == nullptr) return Unavailable("disk tier: it fails, and is tried again");
    return db;
  }

  using Rows = std::map<uint64_t, std::pair<std::string, DiskRow>>;  // by place
  static Rows ReadRows(rocksdb::DB* db) {
    Rows rows;
    const std::unique_ptr<rocksdb::Iterator> it(db->NewIterator({}));
    for (it->Seek(kDiskRowPrefix); it->Valid() && it->key().starts_with(kDiskRowPrefix);
         it->Next()) {
      const std::optional<DiskRow> row = DecodeDiskRow(it->value().ToStringView());
      // A bad row is found and dropped when its block is asked for.
      if (row) rows[row->place] = {it->key().ToString().substr(kDiskRowPrefix.size()), *row};
    }
    return rows;
  }
  void HoldAll(const Rows& rows) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (const auto& [place, entry] : rows) {
      Hold(entry.first, entry.second);
      next_place_ = std::max(next_place_, place + 1);
    }
  }

  // Writes all that is alive anew: RocksDB drops files, blob files included, only as a whole.
  absl::Status Rewrite() {
    DKI_ASSIGN_OR_RETURN(const std::shared_ptr<rocksdb::DB> db, WorkingDatabase());
    int64_t n_erasures = 0;
    {
      MutexLock lock(&mutex_);
      n_erasures = n_erasures_;
    }
    DKI_RETURN_IF_ERROR(ToStatus(db->Flush({})));
    rocksdb::CompactRangeOptions options;
    options.exclusive_manual_compaction = false;
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
    options.blob_garbage_collection_policy = rocksdb::BlobGarbageCollectionPolicy::kForce;
    options.blob_garbage_collection_age_cutoff = 1.0;
    DKI_RETURN_IF_ERROR(ToStatus(db->CompactRange(options, nullptr, nullptr)));
    MutexLock lock(&mutex_);
    if (n_erasures != n_erasures_) return absl::OkStatus();  // the next rewrite follows
    return ToStatus(db->Delete({}, kDiskPendingKey));
  }

  void RemoveAside() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (removing_.joinable()) removing_.join();
    removing_ = std::thread([aside = MovedAside(options_.path)] {
      std::error_code ignored;  // else at the next start
      std::filesystem::remove_all(aside, ignored);
    });
  }

  // Incomplete: RocksDB cannot take it at the moment.
  rocksdb::Status TryPut(const std::string& key, DiskRow* row, std::string_view bytes) {
    if (!MediumWorks()) return {};
    MutexLock lock(&mutex_);
    if (!budget_->Admits(row->size_bytes)) return {};
    Change change;
    Drop(key, &change);
    int64_t evicted = 0;
    while (const auto victim = budget_->Victim(row->identity.tenant_id, row->size_bytes)) {
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
  // pile up there, while the disk is full. Then RocksDB is told to go on; where it has given up, it
  // is opened again. Not under the lock: a disk may hang.
  bool MediumWorks() {
    std::shared_ptr<rocksdb::DB> db;
    {
      MutexLock lock(&mutex_);
      if (!has_failed_) return true;
      if (is_reviving_ || std::chrono::steady_clock::now() < refuse_until_) {
        ++stats_.failures;
        return false;
      }
      is_reviving_ = true;
      db = db_;
    }
    bool works = db != nullptr && db->Resume().ok();
    db = nullptr;
    OpenedDatabase opened;
    Rows rows;
    if (!works && OpenAgain(&opened)) {
      rows = ReadRows(opened.db.get());
      works = true;
    }
    MutexLock lock(&mutex_);
    is_reviving_ = false;
    if (!works) {
      CountFailure();
      return false;
    }
    has_failed_ = false;
    if (opened.db == nullptr) return true;
    if (opened.recreated) RemoveAside();
    db_ = std::move(opened.db);
    budget_ = std::make_unique<TierBudget>(options_.budget);
    HoldAll(rows);
    return true;
  }
  // Not before the disk takes writes: until then what lies there is served. What had not reached a
  // file is lost.
  bool OpenAgain(OpenedDatabase* opened) {
    if (!TakesWrites(DatabaseOptions(options_))) return false;
    std::shared_ptr<rocksdb::DB> last;
    std::weak_ptr<rocksdb::DB> closing;
    {
      MutexLock lock(&mutex_);
      if (db_ != nullptr) closing_ = db_;
      last = std::move(db_);
      closing = closing_;
    }
    last = nullptr;
    if (!closing.expired()) return false;  // somebody reads; closed when that has ended
    absl::StatusOr<OpenedDatabase> again = OpenDiskDatabase(DatabaseOptions(options_));
    if (!again.ok()) return false;
    *opened = *std::move(again);
    return true;
  }

  bool DropIfExpired(const std::string& key) {
    MutexLock lock(&mutex_);
    if (!budget_->IsExpired(key)) return false;
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
    rocksdb::Status status = rocksdb::Status::Aborted();
    if (db_ != nullptr) status = db_->Write(options, &change->batch);
    if (!status.ok()) HoldAgain(*change);
    // What was evicted, replaced, expired or damaged lies in the files until they are rewritten.
    if (status.ok()) scrubber_->OnWrite(!change->dropped.empty());
    return status;
  }

  void Hold(const std::string& key, const DiskRow& row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    budget_->Add(key, row.identity.tenant_id,
                 {.size_bytes = row.size_bytes,
                  .recompute_seconds = row.recompute_seconds,
                  .priority = row.attributes.priority},
                 {.pinned = row.attributes.pinned, .expire_time = row.attributes.expire_time});
  }
  void HoldAgain(const Change& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (const auto& [key, row] : change.dropped) Hold(key, row);
  }

  static void Add(const std::string& key, const DiskRow& row, std::string_view bytes,
                  rocksdb::WriteBatch* batch) {
    batch->Put(DiskBlockKey(key), bytes);
    batch->Put(DiskRowKey(key), EncodeDiskRow(row));
    batch->Put(DiskOwnerPrefix(row.identity.tenant_id, "") + key, "");
    for (const std::string& id : row.chain_memory_ids) {
      batch->Put(DiskOwnerPrefix(row.identity.tenant_id, id) + key, "");
    }
  }

  void Drop(const std::string& key, Change* change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::string row_bytes;
    std::optional<DiskRow> row;
    if (db_ != nullptr && db_->Get({}, DiskRowKey(key), &row_bytes).ok()) {
      row = DecodeDiskRow(row_bytes);
    }
    if (row && budget_->Holds(key)) change->dropped.push_back({key, *row});
    budget_->Remove(key);
    if (row_bytes.empty()) return;
    change->batch.Delete(DiskBlockKey(key));
    change->batch.Delete(DiskRowKey(key));
    if (!row) return;
    change->batch.Delete(DiskOwnerPrefix(row->identity.tenant_id, "") + key);
    for (const std::string& id : row->chain_memory_ids) {
      change->batch.Delete(DiskOwnerPrefix(row->identity.tenant_id, id) + key);
    }
  }

  const Options options_;
  const bool was_recreated_;
  mutable Mutex mutex_;
  std::shared_ptr<rocksdb::DB> db_ ABSL_GUARDED_BY(mutex_);
  std::weak_ptr<rocksdb::DB> closing_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<TierBudget> budget_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_place_ ABSL_GUARDED_BY(mutex_) = 0;
  std::chrono::steady_clock::time_point refuse_until_ ABSL_GUARDED_BY(mutex_);
  TierStats stats_ ABSL_GUARDED_BY(mutex_);
  bool has_failed_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_reviving_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t n_erasures_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<DiskScrubber> scrubber_;
  std::thread removing_;  // of a damaged database
};

}  // namespace

absl::StatusOr<std::unique_ptr<RocksDbKvTier>> RocksDbKvTier::Open(const Options& options) {
  DKI_ASSIGN_OR_RETURN(OpenedDatabase opened, OpenDiskDatabase(DatabaseOptions(options)));
  Options complete = options;
  if (!complete.verify) {
    complete.verify = [shape = options.shape](std::string_view bytes,
                                              const BlockIdentity& identity) {
      return VerifyBlock(bytes, identity, shape);
    };
  }
  return std::make_unique<OpenRocksDbKvTier>(std::move(opened), complete);
}

}  // namespace dki::kvcache
