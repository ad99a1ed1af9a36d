// SPDX-License-Identifier: Apache-2.0
// What generation gets, over restarts, damage and bad requests.
#include <gmock/gmock.h>
#include <rocksdb/db.h>
#include <sys/stat.h>

#include <cstdio>
#include <functional>

#include "libs/base/file.h"
#include "libs/transfer/handoff_taker.h"
#include "services/kv/server_fixture.h"

namespace dki::kv {
namespace {

using common::v1::TIER_DISK;
using common::v1::TIER_RAM;
using common::v1::TIER_RECOMPUTED;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::StatusIs;

TEST_F(KvServerTest, ComputedThenRamThenAfterARestartDiskAllBitEqual) {
  const v1::GetPackRequest request = Request(3);
  const std::vector<std::string> fresh = Fresh(request);
  const Received computed = GetPack(request);
  ASSERT_OK(computed.status);
  EXPECT_EQ(computed.blocks, fresh);
  EXPECT_THAT(computed.tiers, AllOf(::testing::SizeIs(5), Each(TIER_RECOMPUTED)));
  const Received ram = GetPack(request);
  EXPECT_EQ(ram.blocks, fresh);
  EXPECT_THAT(ram.tiers, Each(TIER_RAM));
  Restart();
  const Received disk = GetPack(request);
  EXPECT_EQ(disk.blocks, fresh);
  EXPECT_THAT(disk.tiers, Each(TIER_DISK));
  const Received promoted = GetPack(request);
  EXPECT_EQ(promoted.blocks, fresh);
  EXPECT_THAT(promoted.tiers, Each(TIER_RAM));
  const v1::GetStatsResponse stats = process_->Stats();
  EXPECT_EQ(stats.computed(), 0);
  EXPECT_EQ(stats.disk_hits(), 5);
  EXPECT_EQ(stats.ram_hits(), 5);
  EXPECT_EQ(stats.ram_blocks(), 5);
  EXPECT_GT(stats.disk_bytes(), 0);
  EXPECT_EQ(stats.model_fingerprint(), model_.model->config().kv_fingerprint);
}

TEST_F(KvServerTest, EachBlockSaysWhatItIs) {
  const Received received = GetPack(Request(1));
  ASSERT_EQ(received.starts.size(), 3u);
  EXPECT_EQ(received.starts[0].kind(), v1::GetPackResponse::BlockStart::KIND_HEADER);
  EXPECT_EQ(received.starts[1].kind(), v1::GetPackResponse::BlockStart::KIND_MEMORY);
  EXPECT_EQ(received.starts[1].memory_id(), "mem_0");
  EXPECT_EQ(received.starts[2].kind(), v1::GetPackResponse::BlockStart::KIND_FOOTER);
  const injection::PackPlan plan = Plan(Request(1));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(received.starts[i].n_tokens(), static_cast<int>(plan.blocks[i].tokens.size()));
    EXPECT_EQ(received.starts[i].n_bytes(), static_cast<int64_t>(received.blocks[i].size()));
    EXPECT_OK(kvcache::DecodeBlock(received.blocks[i], plan.blocks[i].identity, Codec()));
  }
}

TEST_F(KvServerTest, AnotherBlockFormatIsRefusedAndNamed) {
  v1::GetPackRequest request = Request(1);
  request.set_block_format("int8");
  EXPECT_OK(GetPack(request).status);
  request.set_block_format("f32");
  EXPECT_THAT(GetPack(request).status,
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("block_format: f32, this worker keeps blocks in int8")));
}

TEST_F(KvServerTest, BlocksOfAnotherFormatAreMisses) {
  const v1::GetPackRequest request = Request(1);
  ASSERT_OK(GetPack(request).status);
  config_.mutable_runtime()->set_block_format("f16");
  Restart();
  EXPECT_THAT(GetPack(request).tiers, Each(TIER_RECOMPUTED));
  EXPECT_EQ(process_->Stats().corrupt(), 0);
  config_.mutable_runtime()->set_block_format("int8");
  Restart();
  EXPECT_THAT(GetPack(request).tiers, Each(TIER_DISK));
}

TEST_F(KvServerTest, LargeBlocksComeInPieces) {
  config_.mutable_runtime()->set_block_format("f32");
  Restart();
  v1::GetPackRequest request = Request(1);
  request.mutable_pack()->mutable_memories(0)->set_text(std::string(3500, 'x'));
  const Received received = GetPack(request);
  ASSERT_OK(received.status);
  ASSERT_GT(received.blocks[1].size(), size_t{1} << 20);
  EXPECT_LE(received.largest_chunk, size_t{1} << 20);
  EXPECT_EQ(received.blocks, Fresh(request));
}

TEST_F(KvServerTest, DamageOnDiskIsDetectedCountedAndRecomputed) {
  const v1::GetPackRequest request = Request(2);
  const std::vector<std::string> fresh = GetPack(request).blocks;
  process_ = nullptr;
  {
    rocksdb::DB* db = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open({}, config_.disk_path(), &db).ok());
    const std::string key = "b/" + kvcache::BlockKey(Plan(request).blocks[1].identity);
    std::string value;
    ASSERT_TRUE(db->Get({}, key, &value).ok());
    value[value.size() / 2] ^= 0x20;
    ASSERT_TRUE(db->Put({}, key, value).ok());
    delete db;
  }
  Start();
  const Received received = GetPack(request);
  ASSERT_OK(received.status);
  EXPECT_EQ(received.blocks, fresh);
  EXPECT_THAT(received.tiers, ElementsAre(TIER_DISK, TIER_RECOMPUTED, TIER_DISK, TIER_DISK));
  EXPECT_EQ(process_->Stats().corrupt(), 1);
  EXPECT_EQ(process_->Stats().computed(), 1);
  // Repaired for good.
  Restart();
  EXPECT_THAT(GetPack(request).tiers, Each(TIER_DISK));
}

TEST_F(KvServerTest, TenantsDoNotShareBlocks) {
  GetPack(Request(2), "tenant");
  EXPECT_THAT(GetPack(Request(2), "other").tiers, Each(TIER_RECOMPUTED));
}

// Behind a key of the GGUF: its value, of a known type, as the format has it.
size_t ValueAt(const std::string& gguf, const std::string& key) {
  const size_t at = gguf.find(key);
  EXPECT_NE(at, std::string::npos) << key;
  return at + key.size() + 4;
}

TEST_F(KvServerTest, AnotherModelUnderTheSameNameFindsNoneOfTheOldOnesBlocks) {
  const std::string path = config_.runtime().model();
  ASSERT_OK_AND_ASSIGN(const std::string sound, ReadFile(path));
  GetPack(Request(2));
  const std::function<void(std::string*)> changes[] = {
      [](std::string* gguf) { gguf->back() ^= 1; },  // a weight
      [](std::string* gguf) {
        const float base = 500000.0f;
        gguf->replace(ValueAt(*gguf, "rope.freq_base"), 4,
                      std::string(reinterpret_cast<const char*>(&base), 4));
      },
      [](std::string* gguf) {  // the tokenizer: its first two merges in the other order
        const size_t first = ValueAt(*gguf, "tokenizer.ggml.merges") + 4 + 8;
        const auto size = [&](size_t at) { return 8 + static_cast<uint8_t>((*gguf)[at]); };
        const size_t second = first + size(first), end = second + size(second);
        *gguf = gguf->substr(0, first) + gguf->substr(second, end - second) +
                gguf->substr(first, second - first) + gguf->substr(end);
      },
  };
  for (const auto& change : changes) {
    process_ = nullptr;
    std::string other = sound;
    change(&other);
    ASSERT_NE(other, sound);
    ASSERT_OK(WriteFileAtomically(path, other));
    ASSERT_OK_AND_ASSIGN(model_, engine::LoadedModel::Load(path, {}));
    Start();
    const Received received = GetPack(Request(2));
    ASSERT_OK(received.status);
    EXPECT_THAT(received.tiers, Each(TIER_RECOMPUTED));
    EXPECT_EQ(received.blocks, Fresh(Request(2)));
  }
  process_ = nullptr;
  ASSERT_OK(WriteFileAtomically(path, sound));
  ASSERT_OK_AND_ASSIGN(model_, engine::LoadedModel::Load(path, {}));
  Start();
  EXPECT_THAT(GetPack(Request(2)).tiers, Each(TIER_DISK)) << "the old ones are still there";
}

TEST_F(KvServerTest, RefusesWhatItCannotServe) {
  const auto kInvalid = absl::StatusCode::kInvalidArgument;
  v1::GetPackRequest request = Request(1);
  request.set_model_fingerprint("another");
  EXPECT_THAT(GetPack(request).status,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("model_fingerprint")));
  EXPECT_THAT(GetPack(Request(257)).status, StatusIs(kInvalid, HasSubstr("256")));
  for (const std::string& text : {std::string(), std::string(8193, 'x')}) {
    request = Request(2);
    request.mutable_pack()->mutable_memories(1)->set_text(text);
    EXPECT_THAT(GetPack(request).status, StatusIs(kInvalid, HasSubstr("pack.memories[1].text")));
  }
  request = Request(1);
  request.mutable_pack()->mutable_memories(0)->clear_memory_id();
  EXPECT_THAT(GetPack(request).status, StatusIs(kInvalid, HasSubstr("memory_id")));
  request = Request(0);
  request.mutable_pack()->set_context_system_prompt(std::string(20000, 'x'));
  EXPECT_THAT(GetPack(request).status, StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(GetPack(Request(1), "").status, StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_OK(GetPack(Request(0)).status);
}

TEST_F(KvServerTest, OnlyTheClusterMayAsk) {
  grpc::ClientContext stranger;
  v1::GetStatsResponse stats;
  EXPECT_EQ(process_->stub().GetStats(&stranger, {}, &stats).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(KvServerTest, WorksWithoutADisk) {
  config_.set_disk_path("");
  Restart();
  EXPECT_THAT(GetPack(Request(1)).tiers, Each(TIER_RECOMPUTED));
  EXPECT_THAT(GetPack(Request(1)).tiers, Each(TIER_RAM));
  EXPECT_EQ(process_->Stats().disk_bytes(), 0);
}

TEST_F(KvServerTest, ADiskThatCannotBeUsedIsDoneWithout) {
  // A file where the folder should be.
  config_.set_disk_path(folder_.File("file"));
  std::FILE* file = std::fopen(config_.disk_path().c_str(), "w");
  ASSERT_NE(file, nullptr);
  std::fclose(file);
  Restart();
  EXPECT_THAT(GetPack(Request(1)).tiers, Each(TIER_RECOMPUTED));
  EXPECT_THAT(GetPack(Request(1)).tiers, Each(TIER_RAM));
}

TEST(KvConfigTest, ErrorsNameTheField) {
  config::v1::KvServer config = DefaultConfig();
  EXPECT_OK(ReadConfig(config));
  config.set_ram_bytes(-1);
  EXPECT_THAT(ReadConfig(config),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ram_bytes")));
  config = DefaultConfig();
  config.mutable_runtime()->set_block_format("int5");
  EXPECT_THAT(ReadConfig(config),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("runtime.block_format")));
  config = DefaultConfig();
  config.set_drift_budget(-1);
  EXPECT_THAT(ReadConfig(config),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("drift_budget")));
  config = DefaultConfig();
  config.mutable_runtime()->clear_model();
  EXPECT_THAT(ReadConfig(config),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("runtime.model")));
}

TEST_F(KvServerTest, OnOneHostBlocksOfTheRamTierAreHandedOverWithoutACopy) {
  v1::GetPackRequest request = Request(2);
  const std::vector<std::string> fresh = Fresh(request);
  config_.set_handoff_socket(folder_.File("kv.sock"));
  Restart();
  transfer::HandoffTaker taker({.path = config_.handoff_socket()});
  std::vector<ino_t> files_before;
  for (const common::v1::Tier tier : {TIER_RECOMPUTED, TIER_RAM, TIER_RAM}) {
    ASSERT_OK_AND_ASSIGN(const auto lease, taker.Take());
    request.set_handoff_token(lease->token());
    const Received received = GetPack(request);
    ASSERT_OK(received.status);
    ASSERT_EQ(received.starts.size(), fresh.size());
    std::vector<ino_t> files;
    for (size_t i = 0; i < fresh.size(); ++i) {
      EXPECT_EQ(received.blocks[i], "") << "no chunks";
      EXPECT_EQ(received.tiers[i], tier);
      ASSERT_OK_AND_ASSIGN(const auto block, lease->Take(received.starts[i].handoff_tag(),
                                                         received.starts[i].n_bytes()));
      EXPECT_EQ(block->bytes(), fresh[i]);
      struct stat status = {};
      ASSERT_EQ(fstat(block->descriptor(), &status), 0);
      files.push_back(status.st_ino);
    }
    lease->Done();
    if (tier == TIER_RAM && !files_before.empty()) {
      EXPECT_EQ(files, files_before) << "the very memory of the tier";
    }
    files_before = tier == TIER_RAM ? files : std::vector<ino_t>();
  }
  // Whoever has no connection, or made up a token, is served all the same.
  request.set_handoff_token(std::string(32, 'x'));
  EXPECT_EQ(GetPack(request).blocks, fresh);
}

TEST_F(KvServerTest, ASideSocketThatCannotBeHadIsDoneWithout) {
  config_.set_handoff_socket(folder_.File("no/such/folder/kv.sock"));
  Restart();
  ASSERT_OK(GetPack(Request(1)).status);
  config_.set_handoff_socket(std::string(108, 'x'));
  EXPECT_THAT(ReadConfig(config_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("handoff_socket")));
}

}  // namespace
}  // namespace dki::kv
