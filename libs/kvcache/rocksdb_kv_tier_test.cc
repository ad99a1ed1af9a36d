// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/rocksdb_kv_tier.h"

#include <gmock/gmock.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "libs/kvcache/test_blocks.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace dki::kvcache {
namespace {

using testing::StatusIs;

// Files that can be told to fail on writing, as a full disk does.
class FullDiskEnv : public rocksdb::EnvWrapper {
 public:
  FullDiskEnv() : EnvWrapper(rocksdb::Env::Default()) {}
  rocksdb::Status NewWritableFile(const std::string& name,
                                  std::unique_ptr<rocksdb::WritableFile>* file,
                                  const rocksdb::EnvOptions& options) override {
    if (full) return rocksdb::Status::NoSpace();
    std::unique_ptr<rocksdb::WritableFile> real;
    const rocksdb::Status status = EnvWrapper::NewWritableFile(name, &real, options);
    if (status.ok()) *file = std::make_unique<File>(std::move(real), this);
    return status;
  }
  std::atomic<bool> full = false;

 private:
  class File : public rocksdb::WritableFileWrapper {
   public:
    File(std::unique_ptr<rocksdb::WritableFile> real, FullDiskEnv* env)
        : WritableFileWrapper(real.get()), real_(std::move(real)), env_(env) {}
    rocksdb::Status Append(const rocksdb::Slice& data) override {
      return env_->full ? rocksdb::Status::NoSpace() : WritableFileWrapper::Append(data);
    }
    rocksdb::Status Append(const rocksdb::Slice& data,
                           const rocksdb::DataVerificationInfo& info) override {
      return env_->full ? rocksdb::Status::NoSpace() : WritableFileWrapper::Append(data, info);
    }

   private:
    std::unique_ptr<rocksdb::WritableFile> real_;
    FullDiskEnv* const env_;
  };
};

class RocksDbKvTierTest : public ::testing::Test {
 protected:
  std::unique_ptr<RocksDbKvTier> Open(rocksdb::Env* env = nullptr) {
    auto tier = RocksDbKvTier::Open({.path = folder_.File("db"),
                                     .budget = {.bytes = 1 << 20},
                                     .shape = kTestShape,
                                     .env = env});
    EXPECT_OK(tier);
    return tier.ok() ? *std::move(tier) : nullptr;
  }
  static StoredBlock Stored(const TestBlockSpec& spec) {
    const Block block = TestBlock(spec);
    return {block.identity, block.chain_memory_ids,
            std::make_shared<const std::string>(Encoded(block)), 0.25};
  }
  // Changes a stored value behind the tier's back.
  void Overwrite(const std::string& key, const std::function<void(std::string*)>& change) {
    rocksdb::DB* db = nullptr;
    rocksdb::Options options;
    ASSERT_TRUE(rocksdb::DB::Open(options, folder_.File("db"), &db).ok());
    std::string value;
    ASSERT_TRUE(db->Get({}, key, &value).ok());
    change(&value);
    ASSERT_TRUE(db->Put({}, key, value).ok());
    delete db;
  }

  testing::TempDir folder_;
};

TEST_F(RocksDbKvTierTest, BlocksAndTheirAccountsOutliveTheProcess) {
  const StoredBlock first = Stored({}), second = Stored({.chain = {"m1", "m2"}, .variant = 1});
  TierStats before;
  {
    const auto tier = Open();
    tier->Put(first);
    tier->Put(second);
    before = tier->Stats();
  }
  const auto tier = Open();
  EXPECT_FALSE(tier->was_recreated());
  EXPECT_EQ(tier->Stats().bytes, before.bytes);
  EXPECT_EQ(tier->Stats().blocks, 2);
  const auto hit = tier->Get(second.identity);
  ASSERT_TRUE(hit);
  EXPECT_EQ(*hit->block.bytes, *second.bytes);
  EXPECT_EQ(hit->block.recompute_seconds, 0.25);
  ASSERT_OK(tier->Erase("tenant", "m2"));
  EXPECT_FALSE(tier->Get(second.identity));
  EXPECT_TRUE(tier->Get(first.identity));
}

TEST_F(RocksDbKvTierTest, PinsAndExpiriesOutliveTheProcess) {
  StoredBlock pinned = Stored({}), gone = Stored({.variant = 1});
  pinned.attributes.pinned = true;
  gone.attributes.expire_time = absl::FromUnixSeconds(1);
  {
    const auto tier = Open();
    tier->Put(pinned);
    tier->Put(gone);
  }
  const auto tier = Open();
  EXPECT_GT(tier->Stats().pinned_bytes, 0);
  EXPECT_FALSE(tier->Find(gone.identity));
  EXPECT_EQ(tier->DropExpired(), 1);
  EXPECT_EQ(tier->List("tenant", "").size(), 1u);
}

TEST_F(RocksDbKvTierTest, ErasuresOutliveACrash) {
  const StoredBlock block = Stored({});
  testing::TempDir copy;
  {
    const auto tier = Open();
    tier->Put(block);
  }
  {
    const auto tier = Open();
    ASSERT_TRUE(tier->Get(block.identity));
    ASSERT_OK(tier->Erase("tenant", "m1"));
    // What a crash leaves: the files as they are now, nothing flushed.
    std::filesystem::copy(folder_.File("db"), copy.File("db"));
  }
  ASSERT_OK_AND_ASSIGN(const auto tier, RocksDbKvTier::Open({.path = copy.File("db"),
                                                             .budget = {.bytes = 1 << 20},
                                                             .shape = kTestShape}));
  EXPECT_FALSE(tier->was_recreated());
  EXPECT_FALSE(tier->Get(block.identity));
  EXPECT_EQ(tier->Stats().blocks, 0);
}

TEST_F(RocksDbKvTierTest, AnyDamagedBlockIsDroppedAndCounted) {
  const StoredBlock block = Stored({});
  const std::string key = BlockKey(block.identity);
  const std::function<void(std::string*)> damages[] = {
      [](std::string* value) { value->back() ^= 0x10; },
      [](std::string* value) { value->resize(value->size() / 2); },
      [](std::string* value) { value->clear(); },
      [](std::string* value) { *value = *Stored({.tenant_id = "other"}).bytes; },
  };
  for (const auto& damage : damages) {
    Open()->Put(block);
    Overwrite("b/" + key, damage);
    const auto tier = Open();
    EXPECT_FALSE(tier->Get(block.identity));
    EXPECT_EQ(tier->Stats().corrupt, 1);
    EXPECT_EQ(tier->Stats().blocks, 0);
    tier->Put(block);
    EXPECT_TRUE(tier->Get(block.identity));
  }
  Overwrite("i/" + key, [](std::string* row) { row->resize(5); });
  EXPECT_FALSE(Open()->Get(block.identity));
}

TEST_F(RocksDbKvTierTest, OldestOutFirstAcrossRestarts) {
  const auto size = static_cast<int64_t>(Stored({}).bytes->size());
  const RocksDbKvTier::Options options{
      .path = folder_.File("db"), .budget = {.bytes = 3 * size}, .shape = kTestShape};
  {
    ASSERT_OK_AND_ASSIGN(const auto tier, RocksDbKvTier::Open(options));
    for (int i = 0; i < 3; ++i) tier->Put(Stored({.variant = i}));
  }
  ASSERT_OK_AND_ASSIGN(const auto tier, RocksDbKvTier::Open(options));
  tier->Put(Stored({.variant = 3}));
  tier->Put(Stored({.variant = 4}));
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(tier->Get(Stored({.variant = i}).identity).has_value(), i >= 2) << i;
  }
}

// Every byte of every file.
bool FilesContain(const std::string& folder, const std::string& bytes) {
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder)) {
    if (!file.is_regular_file()) continue;
    std::ifstream in(file.path(), std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    if (text.find(bytes) != std::string::npos) return true;
  }
  return false;
}

TEST_F(RocksDbKvTierTest, ErasedBytesLeaveTheFiles) {
  constexpr std::chrono::milliseconds kNow{0};
  // Long enough to lie in a blob file.
  const StoredBlock gone = Stored({.n_tokens = 100});
  const StoredBlock kept =
      Stored({.memory_id = "m2", .chain = {"m2"}, .n_tokens = 100, .variant = 1});
  const StoredBlock evicted =
      Stored({.memory_id = "m3", .chain = {"m3"}, .n_tokens = 100, .variant = 2});
  const auto content = [](const StoredBlock& block) {
    return std::string(block.bytes->substr(5000, 64));
  };
  const auto size = static_cast<int64_t>(gone.bytes->size());
  RocksDbKvTier::Options options{.path = folder_.File("db"),
                                 .budget = {.bytes = 2 * size + size / 2, .policy = MakeLruPolicy},
                                 .shape = kTestShape};
  options.scrub.quiet = std::chrono::hours(1);
  {
    ASSERT_OK_AND_ASSIGN(const auto tier, RocksDbKvTier::Open(options));
    for (const StoredBlock* block : {&evicted, &gone, &kept}) tier->Put(*block);
  }
  {
    ASSERT_OK_AND_ASSIGN(const auto tier, RocksDbKvTier::Open(options));
    EXPECT_FALSE(tier->Get(evicted.identity));
    EXPECT_TRUE(FilesContain(folder_.path(), content(gone)));
    ASSERT_OK(tier->Erase("tenant", "m1"));
    EXPECT_TRUE(tier->scrub_is_pending());
    EXPECT_FALSE(tier->GoneTime(absl::Now()));
    EXPECT_TRUE(FilesContain(folder_.path(), content(gone))) << "not before it is quiet";
  }
  // Cut off there, it is done in the next life.
  options.scrub.quiet = kNow;
  ASSERT_OK_AND_ASSIGN(const auto tier, RocksDbKvTier::Open(options));
  const absl::Time now = absl::Now();
  while (!tier->GoneTime(now)) std::this_thread::yield();
  EXPECT_FALSE(FilesContain(folder_.path(), content(gone)));
  EXPECT_FALSE(FilesContain(folder_.path(), content(evicted)));
  EXPECT_TRUE(FilesContain(folder_.path(), content(kept)));
  EXPECT_TRUE(tier->Get(kept.identity));
}

TEST_F(RocksDbKvTierTest, MarksOutliveTheProcess) {
  {
    const auto tier = Open();
    ASSERT_OK(tier->WriteMarks({{"t1", 5}, {"t2", 7}}));
    ASSERT_OK(tier->WriteMarks({{"t1", 6}}));
  }
  const auto tier = Open();
  ASSERT_OK_AND_ASSIGN(const auto marks, tier->ReadMarks());
  EXPECT_EQ(marks, (std::map<std::string, int64_t>{{"t1", 6}, {"t2", 7}}));
  ASSERT_OK(tier->ClearMarks());
  ASSERT_OK_AND_ASSIGN(const auto none, tier->ReadMarks());
  EXPECT_TRUE(none.empty());
}

TEST_F(RocksDbKvTierTest, ADamagedDatabaseIsThrownAwayAndBegunAnew) {
  const StoredBlock block = Stored({});
  for (const std::string damage : {"garbage", "missing"}) {
    Open()->Put(block);
    for (const auto& file : std::filesystem::directory_iterator(folder_.File("db"))) {
      if (!file.path().filename().string().starts_with("MANIFEST")) continue;
      if (damage == "missing") {
        std::filesystem::remove(file.path());
      } else {
        std::ofstream(file.path(), std::ios::trunc) << "not a manifest, long enough to be read";
      }
    }
    auto tier = Open();
    ASSERT_TRUE(tier) << damage;
    EXPECT_TRUE(tier->was_recreated()) << damage;
    EXPECT_FALSE(tier->Get(block.identity));
    tier->Put(block);
    EXPECT_TRUE(tier->Get(block.identity));
    tier = nullptr;
    EXPECT_FALSE(std::filesystem::exists(folder_.File("db.damaged")))
        << "a copy would keep what is deleted later";
  }
}

TEST_F(RocksDbKvTierTest, ADatabaseOfAnotherFormatIsThrownAwayAndBegunAnew) {
  const StoredBlock block = Stored({});
  Open()->Put(block);
  Overwrite("f", [](std::string* format) { *format = "999"; });
  {
    const auto tier = Open();
    ASSERT_TRUE(tier);
    EXPECT_TRUE(tier->was_recreated());
    EXPECT_FALSE(tier->Get(block.identity));
    tier->Put(block);
  }
  EXPECT_FALSE(Open()->was_recreated());
  EXPECT_TRUE(Open()->Get(block.identity));
}

TEST_F(RocksDbKvTierTest, WhatCouldNotBeWrittenStillCounts) {
  FullDiskEnv env;
  const auto size = static_cast<int64_t>(Stored({}).bytes->size());
  ASSERT_OK_AND_ASSIGN(const auto tier, RocksDbKvTier::Open({.path = folder_.File("db"),
                                                             .budget = {.bytes = 2 * size},
                                                             .shape = kTestShape,
                                                             .env = &env}));
  tier->Put(Stored({.variant = 0}));
  tier->Put(Stored({.variant = 1}));
  env.full = true;
  EXPECT_FALSE(tier->Erase("tenant", "m1").ok());
  tier->Put(Stored({.variant = 2}));
  EXPECT_EQ(tier->Stats().blocks, 2);
  EXPECT_EQ(tier->Stats().bytes, 2 * size);
  EXPECT_EQ(tier->Stats().evicted, 0);
  env.full = false;
}

TEST_F(RocksDbKvTierTest, ASecondProcessIsRefusedAndHarmsNothing) {
  const auto tier = Open();
  tier->Put(Stored({}));
  EXPECT_THAT(RocksDbKvTier::Open(
                  {.path = folder_.File("db"), .budget = {.bytes = 1 << 20}, .shape = kTestShape}),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_TRUE(tier->Get(Stored({}).identity));
}

TEST_F(RocksDbKvTierTest, OnAFullDiskItServesButKeepsNothingNew) {
  FullDiskEnv env;
  const StoredBlock kept = Stored({});
  { Open(&env)->Put(kept); }
  const auto tier = Open(&env);
  env.full = true;
  // Erasing must not be claimed where it could not be written.
  EXPECT_THAT(tier->Erase("tenant", "m1"), StatusIs(absl::StatusCode::kUnavailable));
  const TierStats before = tier->Stats();
  const StoredBlock late = Stored({.variant = 1});
  tier->Put(late);
  EXPECT_FALSE(tier->Get(late.identity));
  EXPECT_GT(tier->Stats().failures, before.failures);
  EXPECT_EQ(tier->Stats().bytes, before.bytes);
  EXPECT_TRUE(tier->Get(kept.identity));
  env.full = false;
}

}  // namespace
}  // namespace dki::kvcache
