// SPDX-License-Identifier: Apache-2.0
// Damage to stored blocks in every tier: bits flipped and bytes cut off, thousands of times; a
// process killed while it writes, again and again. All of it is found, none of it served.
// DKI_BLOCK_MUTANTS: bit flips in each tier (a tenth as many truncations); DKI_KILLS: kills.
#include <gmock/gmock.h>
#include <rocksdb/db.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <random>
#include <set>
#include <thread>

#include "libs/kvcache/encrypted_kv_tier.h"
#include "libs/kvcache/in_memory_kv_tier.h"
#include "libs/kvcache/redis_kv_tier.h"
#include "libs/kvcache/rocksdb_kv_tier.h"
#include "libs/kvcache/test_blocks.h"
#include "libs/kvcache/test_data_keys.h"
#include "libs/testing/redis.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace dki::kvcache {
namespace {

int FromEnvironment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::atoi(text) : otherwise;
}
int Mutants() {
  return FromEnvironment("DKI_BLOCK_MUTANTS", 300);
}

absl::Status VerifyPlain(std::string_view bytes, const BlockIdentity& identity) {
  return VerifyBlock(bytes, identity, kTestShape);
}

StoredBlock Stored(int variant) {
  // From a few bytes over what RocksDB puts into blob files to a few pages of tokens.
  const Block block = TestBlock({.n_tokens = 1 + variant * 7 % 90, .variant = variant});
  return {block.identity, block.chain_memory_ids, Encoded(block), 0.25};
}

using Mutation = std::function<void(std::string*)>;

// A tier whose stored bytes the test can reach.
class Medium {
 public:
  virtual ~Medium() = default;
  virtual KvTier& tier() = 0;
  // Changes what is stored of each of the blocks, behind the tier's back.
  virtual void Mutate(const std::vector<StoredBlock>& blocks,
                      const std::function<Mutation()>& next) = 0;
};

class RamMedium : public Medium {
 public:
  KvTier& tier() override { return ram_; }
  void Mutate(const std::vector<StoredBlock>& blocks,
              const std::function<Mutation()>& next) override {
    for (const StoredBlock& block : blocks) {
      StoredBlock copy = block;
      std::string bytes(*block.bytes);
      next()(&bytes);
      copy.bytes = std::move(bytes);
      ram_.Put(copy);
    }
  }

 private:
  InMemoryKvTier ram_{{.bytes = 64 << 20}, kTestShape};
};

class DiskMedium : public Medium {
 public:
  DiskMedium() { Open(); }
  KvTier& tier() override { return *encrypted_; }
  void Mutate(const std::vector<StoredBlock>& blocks,
              const std::function<Mutation()>& next) override {
    encrypted_ = nullptr;
    disk_ = nullptr;
    rocksdb::DB* db = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open({}, folder_.File("db"), &db).ok());
    for (const StoredBlock& block : blocks) {
      const std::string key = "b/" + BlockKey(block.identity);
      std::string value;
      ASSERT_TRUE(db->Get({}, key, &value).ok());
      next()(&value);
      ASSERT_TRUE(db->Put({}, key, value).ok());
    }
    delete db;
    Open();
  }

 private:
  void Open() {
    auto disk = RocksDbKvTier::Open({.path = folder_.File("db"),
                                     .budget = {.bytes = 64 << 20},
                                     .verify = VerifySealed,
                                     .is_sealed = true});
    DKI_CHECK(disk.ok() && !(*disk)->was_recreated());
    disk_ = *std::move(disk);
    encrypted_ = std::make_unique<EncryptedKvTier>(disk_.get(), &keys_, VerifyPlain);
  }

  testing::TempDir folder_;
  TestDataKeys keys_;
  std::unique_ptr<RocksDbKvTier> disk_;
  std::unique_ptr<EncryptedKvTier> encrypted_;
};

class RemoteMedium : public Medium {
 public:
  KvTier& tier() override { return encrypted_; }
  void Mutate(const std::vector<StoredBlock>& blocks,
              const std::function<Mutation()>& next) override {
    for (const StoredBlock& block : blocks) {
      const std::string pattern = "*:b:" + BlockKey(block.identity);
      const std::string key = pool_.Run({{"KEYS", pattern}})->front().elements.at(0).text;
      std::string value = pool_.Run({{"GET", key}})->front().text;
      next()(&value);
      ASSERT_OK(pool_.Run({{"SET", key, value}}));
    }
  }

 private:
  testing::TestRedis server_;
  RedisPool pool_{{.address = server_.address(), .timeout = std::chrono::milliseconds(30000)}};
  TestDataKeys keys_;
  RedisKvTier redis_{&pool_, {.verify = VerifySealed}};
  EncryptedKvTier encrypted_{&redis_, &keys_, VerifyPlain};
};

class DamageTest : public ::testing::TestWithParam<std::string> {
 protected:
  DamageTest() {
    if (GetParam() == "Ram") medium_ = std::make_unique<RamMedium>();
    if (GetParam() == "Disk") medium_ = std::make_unique<DiskMedium>();
    if (GetParam() == "Remote") medium_ = std::make_unique<RemoteMedium>();
    for (int i = 0; i < 100; ++i) blocks_.push_back(Stored(i));
  }
  size_t Random(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }

  // Damages all blocks again and again, each time otherwise, and reads them.
  void Damage(int n_mutants, const Mutation& mutation) {
    int n_found = 0;
    for (int done = 0; done < n_mutants; done += static_cast<int>(blocks_.size())) {
      for (const StoredBlock& block : blocks_) {
        medium_->tier().Put(block);
        ASSERT_TRUE(medium_->tier().Get(block.identity));
      }
      medium_->Mutate(blocks_, [&] { return mutation; });
      const int64_t corrupt = medium_->tier().Stats().corrupt;
      for (const StoredBlock& block : blocks_) {
        EXPECT_FALSE(medium_->tier().Get(block.identity));
      }
      n_found += static_cast<int>(medium_->tier().Stats().corrupt - corrupt);
    }
    EXPECT_GE(n_found, n_mutants) << "each is counted";
    RecordProperty("damaged", n_found);
  }

  std::mt19937_64 random_{20261127};
  std::unique_ptr<Medium> medium_;
  std::vector<StoredBlock> blocks_;
};

TEST_P(DamageTest, EveryFlippedBitIsFound) {
  Damage(Mutants(), [&](std::string* bytes) {
    (*bytes)[Random(bytes->size())] ^= static_cast<char>(1 << Random(8));
  });
}

TEST_P(DamageTest, EveryTruncationIsFound) {
  Damage(Mutants() / 10, [&](std::string* bytes) { bytes->resize(Random(bytes->size())); });
}

INSTANTIATE_TEST_SUITE_P(AllTiers, DamageTest, ::testing::Values("Ram", "Disk", "Remote"),
                         [](const auto& info) { return info.param; });

// Bits of the files themselves, wherever they fall: a block is what it was, or absent.
TEST(DamagedFilesTest, NoBlockIsServedThatIsNotTheOneStored) {
  std::mt19937_64 random(20261128);
  const auto any = [&](size_t n) {
    return std::uniform_int_distribution<size_t>(0, n - 1)(random);
  };
  testing::TempDir folder;
  const RocksDbKvTier::Options options{
      .path = folder.File("db"), .budget = {.bytes = 64 << 20}, .shape = kTestShape};
  std::vector<StoredBlock> blocks;
  for (int i = 0; i < 40; ++i) blocks.push_back(Stored(i));
  {
    ASSERT_OK_AND_ASSIGN(const auto tier, RocksDbKvTier::Open(options));
    for (const StoredBlock& block : blocks) tier->Put(block);
  }
  std::filesystem::copy(options.path, folder.File("sound"));
  int n_absent = 0;
  const int n_rounds = std::max(Mutants() / 20, 5);
  for (int round = 0; round < n_rounds; ++round) {
    std::filesystem::remove_all(options.path);
    std::filesystem::copy(folder.File("sound"), options.path);
    std::vector<std::filesystem::path> files;
    for (const auto& file : std::filesystem::directory_iterator(options.path)) {
      if (file.file_size() > 0) files.push_back(file.path());
    }
    std::ranges::sort(files);
    for (int i = 0; i < 3; ++i) {
      const auto& path = files[any(files.size())];
      std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
      const auto at = static_cast<std::streamoff>(any(std::filesystem::file_size(path)));
      file.seekg(at);
      const char damaged = static_cast<char>(file.get() ^ (1 << any(8)));
      file.seekp(at);
      file.put(damaged);
    }
    const auto tier = RocksDbKvTier::Open(options);
    if (!tier.ok()) {  // then there is no disk tier, and nothing is served
      EXPECT_TRUE(absl::IsUnavailable(tier.status())) << ToString(tier.status());
      continue;
    }
    for (const StoredBlock& block : blocks) {
      const auto hit = (*tier)->Get(block.identity);
      if (hit) {
        EXPECT_EQ(*hit->block.bytes, *block.bytes);
      } else {
        ++n_absent;
      }
    }
  }
  EXPECT_GT(n_absent, 0) << "no damage hit a block: the test shows nothing";
}

// Writes and erases until it is killed. Says on the pipe, in order, what has been erased.
[[noreturn]] void WriteUntilKilled(const std::string& path, const std::string& pipe) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const auto tier = RocksDbKvTier::Open({.path = path,
                                         .budget = {.bytes = 4 << 20},
                                         .shape = kTestShape,
                                         .write_buffer_bytes = 64 << 10});
  if (!tier.ok()) ::_exit(3);
  std::ofstream out(pipe, std::ios::app);
  std::mt19937_64 random(std::random_device{}());
  for (int i = 0;; ++i) {
    const int variant = static_cast<int>(random() % 400);
    StoredBlock block = Stored(variant);
    const std::string memory = "m" + std::to_string(variant % 40);
    block.chain_memory_ids = {"m1", memory};
    (*tier)->Put(block);
    if (i % 25 == 24) {
      // Erased blocks are never put again: theirs is a memory of its own.
      const Block once = TestBlock({.memory_id = "gone", .chain = {}, .variant = 100000 + i});
      (*tier)->Put({once.identity, {"gone"}, Encoded(once), 0.25});
      if ((*tier)->Erase("tenant", "gone").ok()) out << 100000 + i << std::endl;
    }
  }
}

TEST(KillTest, DISABLED_Child) {
  WriteUntilKilled(std::getenv("DKI_KILL_PATH"), std::getenv("DKI_KILL_PIPE"));
}

TEST(KillTest, AProcessKilledWhileItWritesLeavesNoWrongBlock) {
  testing::TempDir folder;
  const std::string path = folder.File("db"), said = folder.File("erased");
  std::mt19937_64 random(7);
  ::setenv("DKI_KILL_PATH", path.c_str(), 1);
  ::setenv("DKI_KILL_PIPE", said.c_str(), 1);
  int64_t n_served = 0, n_erased = 0;
  const int n_kills = FromEnvironment("DKI_KILLS", 10);
  for (int kill = 0; kill < n_kills; ++kill) {
    std::filesystem::remove(said);
    const pid_t child = ::fork();
    if (child == 0) {
      ::execl("/proc/self/exe", "child", "--gtest_also_run_disabled_tests",
              "--gtest_filter=KillTest.DISABLED_Child", "--gtest_output=", nullptr);
      ::_exit(127);
    }
    // Somewhere in its work, once it is at work.
    while (!std::filesystem::exists(said) || std::filesystem::file_size(said) == 0) {
      int status = 0;
      ASSERT_EQ(::waitpid(child, &status, WNOHANG), 0) << "it ended by itself: " << status;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 100'000));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);

    ASSERT_OK_AND_ASSIGN(
        const auto tier,
        RocksDbKvTier::Open({.path = path, .budget = {.bytes = 4 << 20}, .shape = kTestShape}));
    EXPECT_FALSE(tier->was_recreated());
    for (int variant = 0; variant < 400; ++variant) {
      const StoredBlock block = Stored(variant);
      const auto hit = tier->Get(block.identity);
      if (!hit) continue;
      ++n_served;
      EXPECT_EQ(*hit->block.bytes, *block.bytes);
    }
    EXPECT_EQ(tier->Stats().corrupt, 0);
    std::ifstream in(said);
    for (int variant = 0; in >> variant; ++n_erased) {
      const Block once = TestBlock({.memory_id = "gone", .chain = {}, .variant = variant});
      EXPECT_FALSE(tier->Get(once.identity)) << "erased, and back after the crash";
    }
  }
  EXPECT_GT(n_served, 0);
  EXPECT_GT(n_erased, 0);
}

}  // namespace
}  // namespace dki::kvcache
