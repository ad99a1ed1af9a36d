// SPDX-License-Identifier: Apache-2.0
// A disk that is full, fails, or stalls: what is there is served, nothing new is kept, and it goes
// on by itself when the disk does.
#include <gmock/gmock.h>
#include <rocksdb/env.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "libs/kvcache/in_memory_kv_tier.h"
#include "libs/kvcache/read_through_kv_tier.h"
#include "libs/kvcache/rocksdb_kv_tier.h"
#include "libs/kvcache/test_blocks.h"
#include "libs/kvcache/write_behind_kv_tier.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace dki::kvcache {
namespace {

enum class Fault { kNone, kNoSpace, kIoError, kStall };

// Files whose writes do what the test says.
class FaultyEnv : public rocksdb::EnvWrapper {
 public:
  FaultyEnv() : EnvWrapper(rocksdb::Env::Default()) {}

  void Set(Fault fault) {
    MutexLock lock(&mutex_);
    fault_ = fault;
    changed_.NotifyAll();
  }
  rocksdb::Status Check() {
    MutexLock lock(&mutex_);
    while (fault_ == Fault::kStall) changed_.Wait(&mutex_);
    if (fault_ == Fault::kNoSpace) return rocksdb::Status::NoSpace();
    if (fault_ == Fault::kIoError) return rocksdb::Status::IOError("Input/output error");
    return rocksdb::Status::OK();
  }
  rocksdb::Status NewWritableFile(const std::string& name,
                                  std::unique_ptr<rocksdb::WritableFile>* file,
                                  const rocksdb::EnvOptions& options) override {
    rocksdb::Status status = Check();
    if (!status.ok()) return status;
    std::unique_ptr<rocksdb::WritableFile> real;
    status = EnvWrapper::NewWritableFile(name, &real, options);
    if (status.ok()) *file = std::make_unique<File>(std::move(real), this);
    return status;
  }

 private:
  class File : public rocksdb::WritableFileWrapper {
   public:
    File(std::unique_ptr<rocksdb::WritableFile> real, FaultyEnv* env)
        : WritableFileWrapper(real.get()), real_(std::move(real)), env_(env) {}
    rocksdb::Status Append(const rocksdb::Slice& data) override {
      const rocksdb::Status status = env_->Check();
      return status.ok() ? WritableFileWrapper::Append(data) : status;
    }
    rocksdb::Status Append(const rocksdb::Slice& data,
                           const rocksdb::DataVerificationInfo& info) override {
      const rocksdb::Status status = env_->Check();
      return status.ok() ? WritableFileWrapper::Append(data, info) : status;
    }
    rocksdb::Status PositionedAppend(const rocksdb::Slice& data, uint64_t offset) override {
      const rocksdb::Status status = env_->Check();
      return status.ok() ? WritableFileWrapper::PositionedAppend(data, offset) : status;
    }
    rocksdb::Status PositionedAppend(const rocksdb::Slice& data, uint64_t offset,
                                     const rocksdb::DataVerificationInfo& info) override {
      const rocksdb::Status status = env_->Check();
      return status.ok() ? WritableFileWrapper::PositionedAppend(data, offset, info) : status;
    }

   private:
    std::unique_ptr<rocksdb::WritableFile> real_;
    FaultyEnv* const env_;
  };

  Mutex mutex_;
  CondVar changed_;
  Fault fault_ ABSL_GUARDED_BY(mutex_) = Fault::kNone;
};

StoredBlock Stored(int variant) {
  const Block block = TestBlock({.n_tokens = 80, .variant = variant});
  return {block.identity, block.chain_memory_ids, Encoded(block), 0.25};
}

class DiskFaultsTest : public ::testing::Test {
 protected:
  std::unique_ptr<RocksDbKvTier> Open() {
    auto tier = RocksDbKvTier::Open({.path = folder_.File("db"),
                                     .budget = {.bytes = 64 << 20},
                                     .shape = kTestShape,
                                     .env = &env_,
                                     .write_buffer_bytes = 64 << 10});
    DKI_CHECK(tier.ok());
    return *std::move(tier);
  }
  // A block that lies in a file.
  StoredBlock Kept() {
    const StoredBlock block = Stored(0);
    Open()->Put(block);
    return block;
  }

  testing::TempDir folder_;
  FaultyEnv env_;
};

class BrokenDiskTest : public DiskFaultsTest, public ::testing::WithParamInterface<Fault> {};

INSTANTIATE_TEST_SUITE_P(Faults, BrokenDiskTest,
                         ::testing::Values(Fault::kNoSpace, Fault::kIoError), [](const auto& info) {
                           return info.param == Fault::kNoSpace ? "NoSpace" : "IoError";
                         });

TEST_P(BrokenDiskTest, ServesOnAndGoesOnByItselfWhenItWorksAgain) {
  const StoredBlock kept = Kept();
  const auto tier = Open();
  env_.Set(GetParam());
  int next = 1;
  while (tier->Stats().failures == 0) tier->Put(Stored(next++));
  EXPECT_TRUE(tier->Get(kept.identity));
  EXPECT_FALSE(tier->Erase("tenant", "m1").ok()) << "not claimed where it was not written";
  // Nothing is admitted, however often it is tried, and what there is stays.
  const auto before = tier->Stats();
  for (int i = 0; i < 30; ++i) {
    tier->Put(Stored(next++));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  EXPECT_LE(tier->Stats().blocks, before.blocks);
  EXPECT_TRUE(tier->Get(kept.identity));
  EXPECT_EQ(tier->Stats().corrupt, 0);
  env_.Set(Fault::kNone);
  const auto healed = std::chrono::steady_clock::now();
  const StoredBlock fresh = Stored(next++);
  while (!tier->Get(fresh.identity)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    tier->Put(fresh);
  }
  const std::chrono::duration<double> recovery = std::chrono::steady_clock::now() - healed;
  std::printf("recovery after %.1f s\n", recovery.count());
  EXPECT_TRUE(tier->Get(kept.identity));
  EXPECT_OK(tier->Erase("tenant", "m1"));
  EXPECT_FALSE(tier->Get(kept.identity));
}

TEST_F(DiskFaultsTest, ADiskThatFailedIsWholeAfterARestart) {
  const StoredBlock kept = Kept();
  {
    const auto tier = Open();
    env_.Set(Fault::kIoError);
    for (int i = 1; tier->Stats().failures == 0; ++i) tier->Put(Stored(i));
  }
  env_.Set(Fault::kNone);
  const auto tier = Open();
  EXPECT_FALSE(tier->was_recreated());
  EXPECT_TRUE(tier->Get(kept.identity));
  tier->Put(Stored(1000));
  EXPECT_TRUE(tier->Get(Stored(1000).identity));
}

TEST_F(DiskFaultsTest, AStallHoldsUpNoRequest) {
  const StoredBlock kept = Kept();
  const auto disk = Open();
  InMemoryKvTier ram({.bytes = 64 << 20}, kTestShape);
  WriteBehindKvTier behind(disk.get(), 300 << 10);
  ReadThroughKvTier tier(&ram, &behind);
  env_.Set(Fault::kStall);
  // More than memory buffers take, so that the writer waits.
  for (int i = 1; i < 200; ++i) {
    tier.Put(Stored(i));
    EXPECT_EQ(tier.Get(Stored(i).identity)->tier, TierName::kRam);
  }
  EXPECT_TRUE(disk->Get(kept.identity)) << "reading goes on";
  EXPECT_GT(behind.Stats().failures, 0) << "nothing more is admitted";
  env_.Set(Fault::kNone);
  behind.Flush();
  while (!disk->Get(Stored(500).identity)) {
    tier.Put(Stored(500));
    behind.Flush();
  }
}

}  // namespace
}  // namespace dki::kvcache
