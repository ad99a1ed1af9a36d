// SPDX-License-Identifier: Apache-2.0
// Measures the tiers with a real model; for tests/bench/tiers.py. Prints one JSON object.
//   tiers_bench restore MODEL FOLDER     a 256-token block usable again: from each tier, and
//                                        recomputed
//   tiers_bench crossover MODEL FOLDER   the same over sizes, and what the cost model picks
//   tiers_bench reads MODEL FOLDER       1 MiB values from RocksDB against the device
//   tiers_bench startup MODEL FOLDER     opening 100,000 blocks
// Disk and remote are encrypted in the first two, as a cluster's are; the remote is a redis-server
// of its own on the loopback interface.
// FOLDER must be empty and lie on the device that is meant. Runs of what is compared are
// interleaved; the page cache of FOLDER is dropped before each read from disk.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "libs/base/check.h"
#include "libs/engine/loaded_model.h"
#include "libs/injection/block_maker.h"
#include "libs/injection/compute_pack.h"
#include "libs/kvcache/cost_model.h"
#include "libs/kvcache/encrypted_kv_tier.h"
#include "libs/kvcache/in_memory_kv_tier.h"
#include "libs/kvcache/redis_kv_tier.h"
#include "libs/kvcache/rocksdb_kv_tier.h"
#include "libs/kvcache/test_data_keys.h"
#include "libs/testing/redis.h"

namespace dki::kv {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using kvcache::KvTier;
using kvcache::StoredBlock;

constexpr int64_t kAmple = int64_t{64} << 30;
constexpr int kRuns = 5;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}
double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}
std::string List(const std::vector<double>& values) {
  std::string text = "[";
  for (size_t i = 0; i < values.size(); ++i)
    text += absl::StrFormat("%s%.6f", i ? "," : "", values[i]);
  return text + "]";
}

void DropPageCache(const std::string& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const int file = ::open(entry.path().c_str(), O_RDONLY);
    if (file < 0) continue;
    ::fdatasync(file);
    ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    ::close(file);
  }
}

// A pack of one memory of exactly `n_tokens`, header at hand.
struct Subject {
  injection::PackPlan plan;
  std::vector<injection::MadeBlock> at_hand = {};  // the header
  StoredBlock stored = {};
};

class Bench {
 public:
  Bench(const std::string& model_path, std::string folder) : folder_(std::move(folder)) {
    auto loaded = engine::LoadedModel::Load(model_path, {});
    DKI_CHECK(loaded.ok());
    model_ = *std::move(loaded);
    auto context = injection::ComputeContext(
        model_.model.get(), model_.format->RenderPrefix(model_.format->default_system_prompt()));
    DKI_CHECK(context.ok());
    context_ = std::make_unique<model::KvBuffer>(*std::move(context));
    maker_ =
        std::make_unique<injection::BlockMaker>(model(), *model_.format, injection::DriftOptions());
  }

  model::Model* model() { return model_.model.get(); }
  std::string File(const std::string& name) const { return folder_ + "/" + name; }

  Subject Make(int n_tokens) {
    std::string text;
    std::mt19937 random(n_tokens);
    while (static_cast<int>(model_.format->PackLine(text).size()) < n_tokens) {
      for (int i = 0; i < 64; ++i) text += absl::StrFormat(" %d", random() % 1000);
    }
    Subject subject{.plan = injection::PlanPack(*model_.format, "tenant",
                                                model()->config().kv_fingerprint,
                                                model_.format->default_system_prompt(),
                                                {{"mem", text}}, kernels::KvFormat::kInt8)};
    injection::PlannedBlock& block = subject.plan.blocks[1];
    block.tokens.resize(n_tokens);
    block.identity.content_hash = kvcache::ContentHash(block.tokens);
    subject.at_hand = Compute(subject, {{0}});
    const std::vector<injection::MadeBlock> made = Compute(subject, {{1}});
    subject.stored = {.identity = block.identity,
                      .chain_memory_ids = block.chain_memory_ids,
                      .bytes = std::make_shared<const std::string>(
                          kvcache::EncodeBlock(made[0].block, maker_->codec())),
                      .recompute_seconds = 1,
                      .n_tokens = n_tokens,
                      .attributes = {.user_id = "user"}};
    return subject;
  }
  std::vector<injection::MadeBlock> Compute(const Subject& subject, std::vector<int> wanted) {
    std::vector<const model::KvBuffer*> at_hand(subject.plan.blocks.size(), nullptr);
    for (size_t i = 0; i < subject.at_hand.size(); ++i) at_hand[i] = &subject.at_hand[i].kept;
    auto computed = maker_->Make(subject.plan, *context_, at_hand, wanted);
    DKI_CHECK(computed.ok());
    return *std::move(computed);
  }
  double RecomputeSeconds(const Subject& subject) {
    const auto start = Clock::now();
    Compute(subject, {1});
    return SecondsSince(start);
  }
  // Found, read, verified and usable.
  double RestoreSeconds(KvTier* tier, const Subject& subject) {
    const auto start = Clock::now();
    const auto hit = tier->Get(subject.stored.identity);
    DKI_CHECK(hit.has_value());
    const auto block =
        kvcache::DecodeBlock(*hit->block.bytes, subject.stored.identity, maker_->codec());
    DKI_CHECK(block.ok());
    return SecondsSince(start);
  }
  kvcache::CostedBlock Cost(const Subject& subject) const {
    return {.n_tokens = subject.stored.n_tokens,
            .n_before = static_cast<int>(subject.plan.context_tokens.size()) +
                        subject.plan.blocks[1].start};
  }

  // A tier that encrypts, and what it stands on.
  struct Sealed {
    std::unique_ptr<KvTier> medium;
    std::unique_ptr<kvcache::EncryptedKvTier> tier;
  };
  // A database with the subjects in its files, and nothing of them in memory.
  Sealed Disk(const std::string& name, const std::vector<Subject>& subjects) {
    {
      const Sealed disk = Seal(OpenDisk(name, true));
      for (const Subject& subject : subjects) disk.tier->Put(subject.stored);
    }
    return Seal(OpenDisk(name, true));
  }
  std::unique_ptr<kvcache::RocksDbKvTier> OpenDisk(const std::string& name, bool is_sealed) {
    kvcache::RocksDbKvTier::Options options{
        .path = File(name), .budget = {.bytes = kAmple}, .shape = model()->kv_shape()};
    options.is_sealed = is_sealed;
    if (is_sealed) options.verify = kvcache::VerifySealed;
    auto tier = kvcache::RocksDbKvTier::Open(options);
    DKI_CHECK(tier.ok());
    return *std::move(tier);
  }
  Sealed Remote(const std::vector<Subject>& subjects) {
    const std::string port = std::to_string(20'000 + ::getpid() % 10'000);
    redis_ = std::make_unique<testing::TestRedis>(
        std::vector<std::string>{"--bind", "127.0.0.1", "--port", port});
    pool_ = std::make_unique<kvcache::RedisPool>(
        kvcache::RedisPool::Options{.address = "127.0.0.1:" + port});
    Sealed remote = Seal(std::make_unique<kvcache::RedisKvTier>(
        pool_.get(), kvcache::RedisKvTier::Options{.verify = kvcache::VerifySealed}));
    for (const Subject& subject : subjects) remote.tier->Put(subject.stored);
    return remote;
  }

 private:
  Sealed Seal(std::unique_ptr<KvTier> medium) {
    auto tier = std::make_unique<kvcache::EncryptedKvTier>(
        medium.get(), &keys_,
        [shape = model()->kv_shape()](std::string_view bytes, const kvcache::BlockIdentity& id) {
          return kvcache::VerifyBlock(bytes, id, shape);
        });
    return {std::move(medium), std::move(tier)};
  }

  const std::string folder_;
  kvcache::TestDataKeys keys_;
  std::unique_ptr<testing::TestRedis> redis_;
  std::unique_ptr<kvcache::RedisPool> pool_;
  engine::LoadedModel model_;
  std::unique_ptr<model::KvBuffer> context_;
  std::unique_ptr<injection::BlockMaker> maker_;
};

void Restore(Bench* bench) {
  std::vector<Subject> subjects;
  subjects.push_back(bench->Make(256));
  const Subject& subject = subjects[0];
  kvcache::InMemoryKvTier ram({.bytes = kAmple}, bench->model()->kv_shape());
  ram.Put(subject.stored);
  const Bench::Sealed disk = bench->Disk("restore", subjects);
  const Bench::Sealed remote = bench->Remote(subjects);
  std::vector<double> recomputed, from_ram, from_disk, from_remote;
  for (int run = 0; run < kRuns; ++run) {
    recomputed.push_back(bench->RecomputeSeconds(subject));
    from_ram.push_back(bench->RestoreSeconds(&ram, subject));
    DropPageCache(bench->File("restore"));
    from_disk.push_back(bench->RestoreSeconds(disk.tier.get(), subject));
    from_remote.push_back(bench->RestoreSeconds(remote.tier.get(), subject));
  }
  std::printf("{\"bytes\": %zu, \"recompute\": %s, \"ram\": %s, \"disk\": %s, \"remote\": %s}\n",
              subject.stored.bytes->size(), List(recomputed).c_str(), List(from_ram).c_str(),
              List(from_disk).c_str(), List(from_remote).c_str());
}

void Crossover(Bench* bench) {
  std::vector<Subject> subjects;
  for (int n = 16; n <= 4096; n *= 2) subjects.push_back(bench->Make(n));
  kvcache::InMemoryKvTier ram({.bytes = kAmple}, bench->model()->kv_shape());
  for (const Subject& subject : subjects) ram.Put(subject.stored);
  const Bench::Sealed disk = bench->Disk("crossover", subjects);
  const Bench::Sealed remote = bench->Remote(subjects);
  // A disk that is so slow that it depends on the size which is better.
  constexpr double kSlowLatency = 0.05, kSlowBytesPerSecond = 50e6;
  struct Way {
    const char* name;
    kvcache::TierName tier;
    std::function<double(const Subject&)> load;
  };
  const std::vector<Way> ways = {
      {"ram", kvcache::TierName::kRam,
       [&](const Subject& subject) { return bench->RestoreSeconds(&ram, subject); }},
      {"disk", kvcache::TierName::kDisk,
       [&](const Subject& subject) {
         DropPageCache(bench->File("crossover"));
         return bench->RestoreSeconds(disk.tier.get(), subject);
       }},
      {"remote", kvcache::TierName::kRemote,
       [&](const Subject& subject) { return bench->RestoreSeconds(remote.tier.get(), subject); }},
      {"slow disk", kvcache::TierName::kDisk, [&](const Subject& subject) {
         const auto start = Clock::now();
         const double read =
             kSlowLatency + static_cast<double>(subject.stored.bytes->size()) / kSlowBytesPerSecond;
         std::this_thread::sleep_for(std::chrono::duration<double>(read));
         bench->RestoreSeconds(&ram, subject);
         return SecondsSince(start);
       }}};
  std::printf("{\"rows\": [");
  // A cost model for each way; all learn from the same computing.
  std::vector<std::unique_ptr<kvcache::CostModel>> costs;
  for (size_t w = 0; w < ways.size(); ++w) {
    costs.push_back(std::make_unique<kvcache::CostModel>(
        kvcache::CostModel::Options{.half_life = absl::Hours(1), .explore_after = absl::Hours(1)}));
  }
  std::vector<std::vector<double>> computes(subjects.size());
  std::vector<std::vector<std::vector<double>>> loads(
      ways.size(), std::vector<std::vector<double>>(subjects.size()));
  for (int run = 0; run < kRuns; ++run) {
    for (size_t i = 0; i < subjects.size(); ++i) {
      computes[i].push_back(bench->RecomputeSeconds(subjects[i]));
      const kvcache::CostedBlock cost = bench->Cost(subjects[i]);
      for (size_t w = 0; w < ways.size(); ++w) {
        costs[w]->ObserveCompute({&cost, 1}, absl::Seconds(computes[i].back()));
        loads[w][i].push_back(ways[w].load(subjects[i]));
        costs[w]->ObserveLoad(ways[w].tier, static_cast<int64_t>(subjects[i].stored.bytes->size()),
                              absl::Seconds(loads[w][i].back()));
      }
    }
  }
  bool first = true;
  for (size_t w = 0; w < ways.size(); ++w) {
    for (size_t i = 0; i < subjects.size(); ++i) {
      kvcache::CostedBlock cost = bench->Cost(subjects[i]);
      cost.tier = ways[w].tier;
      cost.bytes = static_cast<int64_t>(subjects[i].stored.bytes->size());
      const kvcache::PathChoice choice = costs[w]->Choose({&cost, 1})[0];
      const bool recompute = choice.path == kvcache::LoadPath::kRecompute;
      const double load = Median(loads[w][i]), compute = Median(computes[i]);
      std::printf(
          "%s{\"tier\": \"%s\", \"tokens\": %d, \"bytes\": %zu, \"load\": %.6f, \"recompute\": "
          "%.6f, \"load_estimate\": %.6f, \"recompute_estimate\": %.6f, \"chosen\": \"%s\", "
          "\"against_better\": %.4f}",
          first ? "" : ",\n", ways[w].name, subjects[i].stored.n_tokens,
          subjects[i].stored.bytes->size(), load, compute,
          absl::ToDoubleSeconds(choice.load_estimate),
          absl::ToDoubleSeconds(choice.recompute_estimate), recompute ? "recompute" : "load",
          (recompute ? compute : load) / std::min(load, compute));
      first = false;
    }
  }
  std::printf("]}\n");
}

// Seconds of `n` reads by four threads.
double Parallel(int n, const std::function<void(int)>& read) {
  constexpr int kThreads = 4;
  const auto start = Clock::now();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = t; i < n; i += kThreads) read(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return SecondsSince(start);
}

void Reads(Bench* bench) {
  constexpr int kValues = 300;
  constexpr size_t kMiB = 1 << 20;
  const model::KvShape shape = bench->model()->kv_shape();
  const int n_tokens = static_cast<int>(kMiB / shape.bytes_per_token());
  std::vector<StoredBlock> blocks;
  size_t bytes = 0;
  {
    const auto tier = bench->OpenDisk("reads", false);
    std::mt19937 random(1);
    kvcache::Block block{.identity = {.tenant_id = "tenant",
                                      .memory_id = "m",
                                      .content_hash = "",
                                      .model_fingerprint = "model",
                                      .chain_hash = kvcache::ContentHash({})},
                         .chain_memory_ids = {"m"},
                         .tokens = std::vector<int32_t>(n_tokens),
                         .kv = model::KvBuffer(shape, n_tokens)};
    block.kv.Resize(n_tokens);
    for (int layer = 0; layer < shape.n_layers; ++layer) {
      for (int i = 0; i < n_tokens; ++i) {
        for (int k = 0; k < shape.row_size(); ++k) {
          block.kv.keys(layer, i)[k] = static_cast<float>(random());
          block.kv.values(layer, i)[k] = static_cast<float>(random());
        }
      }
    }
    for (int i = 0; i < kValues; ++i) {
      block.tokens[0] = i;
      block.identity.content_hash = kvcache::ContentHash(block.tokens);
      StoredBlock stored{.identity = block.identity,
                         .chain_memory_ids = {"m"},
                         .bytes = std::make_shared<const std::string>(kvcache::EncodeBlock(
                             block, model::PlaneCodec(bench->model()->config()))),
                         .recompute_seconds = 1,
                         .n_tokens = n_tokens};
      bytes = stored.bytes->size();
      tier->Put(stored);
      stored.bytes = nullptr;
      blocks.push_back(stored);
    }
  }
  // What the device gives: the same sizes, by the same threads, from one file.
  fs::create_directories(bench->File("device"));
  const int file = ::open(bench->File("device/file").c_str(), O_RDWR | O_CREAT, 0600);
  DKI_CHECK(file >= 0);
  const std::string piece(bytes, 'x');
  for (int i = 0; i < kValues; ++i) {
    DKI_CHECK(::pwrite(file, piece.data(), bytes, static_cast<off_t>(i * bytes)) ==
              static_cast<ssize_t>(bytes));
  }
  std::vector<int> order(kValues);
  for (int i = 0; i < kValues; ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), std::mt19937(2));
  const auto tier = bench->OpenDisk("reads", false);
  std::vector<double> device, rocksdb;
  const double total = static_cast<double>(bytes) * kValues / 1e6;
  for (int run = 0; run < kRuns; ++run) {
    DropPageCache(bench->File("device"));
    device.push_back(
        total / Parallel(kValues, [&](int i) {
          std::string read(bytes, '\0');
          DKI_CHECK(::pread(file, read.data(), bytes, static_cast<off_t>(order[i] * bytes)) ==
                    static_cast<ssize_t>(bytes));
        }));
    DropPageCache(bench->File("reads"));
    rocksdb.push_back(total / Parallel(kValues, [&](int i) {
                        DKI_CHECK(tier->Get(blocks[order[i]].identity).has_value());
                      }));
  }
  ::close(file);
  std::printf("{\"bytes\": %zu, \"values\": %d, \"device\": %s, \"rocksdb\": %s}\n", bytes, kValues,
              List(device).c_str(), List(rocksdb).c_str());
}

void Startup(Bench* bench) {
  constexpr int kBlocks = 100'000;
  constexpr int kPack = 8;
  model::ModelConfig config;
  config.n_layers = config.n_kv_heads = 1;
  config.head_dim = 32;
  const model::PlaneCodec codec(config);
  const model::KvShape shape = codec.shape();
  const auto open = [&] {
    auto tier = kvcache::RocksDbKvTier::Open(
        {.path = bench->File("startup"), .budget = {.bytes = kAmple}, .shape = shape});
    DKI_CHECK(tier.ok());
    return *std::move(tier);
  };
  {
    const auto tier = open();
    kvcache::Block block{.identity = {.tenant_id = "",
                                      .memory_id = "",
                                      .content_hash = "",
                                      .model_fingerprint = std::string(64, 'f'),
                                      .chain_hash = kvcache::ContentHash({})},
                         .chain_memory_ids = {},
                         .tokens = {0},
                         .kv = model::KvBuffer(shape, 1)};
    block.kv.Resize(1);
    for (int i = 0; i < kBlocks; ++i) {
      if (i % kPack == 0) block.chain_memory_ids.clear();
      const std::string id = absl::StrFormat("mem_%032x", i);
      block.chain_memory_ids.push_back(id);
      block.tokens[0] = i;
      block.identity.tenant_id = absl::StrFormat("tenant-%d", i % 10);
      block.identity.memory_id = id;
      block.identity.content_hash = kvcache::ContentHash(block.tokens);
      tier->Put({.identity = block.identity,
                 .chain_memory_ids = block.chain_memory_ids,
                 .bytes = std::make_shared<const std::string>(kvcache::EncodeBlock(block, codec)),
                 .recompute_seconds = 0.01,
                 .n_tokens = 1});
    }
  }
  std::vector<double> seconds;
  int64_t blocks = 0;
  for (int run = 0; run < 3; ++run) {
    DropPageCache(bench->File("startup"));
    const auto start = Clock::now();
    const auto tier = open();
    seconds.push_back(SecondsSince(start));
    blocks = tier->Stats().blocks;
  }
  std::printf("{\"blocks\": %lld, \"seconds\": %s}\n", static_cast<long long>(blocks),
              List(seconds).c_str());
}

int Main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: tiers_bench restore|crossover|reads|startup MODEL FOLDER\n");
    return 2;
  }
  Bench bench(argv[2], argv[3]);
  const std::string scenario = argv[1];
  if (scenario == "restore") Restore(&bench);
  if (scenario == "crossover") Crossover(&bench);
  if (scenario == "reads") Reads(&bench);
  if (scenario == "startup") Startup(&bench);
  return 0;
}

}  // namespace
}  // namespace dki::kv

int main(int argc, char** argv) {
  return dki::kv::Main(argc, argv);
}
