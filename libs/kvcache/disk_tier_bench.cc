// SPDX-License-Identifier: Apache-2.0
// The disk tier by itself: disk_tier_bench FOLDER [BLOCKS]  prints one JSON object.
//   open_s            starting with the metadata of BLOCKS (default 100,000) small blocks
//   read_mib_s        encrypted 1 MiB blocks, read, opened and verified, 1 and 4 threads, page
//   cache
//                     dropped before
//   device_mib_s      the same files read as they lie, 1 MiB at a time, page cache dropped, 1 and 4
//                     threads
//   probe_auc_other   how well the time of a lookup tells whether another tenant has the block:
//                     0.5 is not at all
//   probe_auc_own     the same for the tenant's own blocks: the test's power
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <numeric>
#include <random>
#include <thread>

#include "libs/base/check.h"
#include "libs/kvcache/encrypted_kv_tier.h"
#include "libs/kvcache/rocksdb_kv_tier.h"
#include "libs/kvcache/test_blocks.h"
#include "libs/kvcache/test_data_keys.h"

namespace dki::kvcache {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double Seconds(const std::function<void()>& body) {
  const auto start = Clock::now();
  body();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

StoredBlock Stored(const TestBlockSpec& spec) {
  const Block block = TestBlock(spec);
  return {block.identity, block.chain_memory_ids, Encoded(block), 0.25};
}

std::unique_ptr<RocksDbKvTier> Open(const std::string& path) {
  auto tier = RocksDbKvTier::Open({.path = path,
                                   .budget = {.bytes = int64_t{16} << 30},
                                   .verify = VerifySealed,
                                   .is_sealed = true});
  DKI_CHECK(tier.ok());
  return *std::move(tier);
}

absl::Status VerifyPlain(std::string_view bytes, const BlockIdentity& identity) {
  return VerifyBlock(bytes, identity, kTestShape);
}

// Written back, and out of the page cache, as far as the system does it.
void DropCache(const std::string& folder) {
  for (const auto& file : fs::directory_iterator(folder)) {
    const int fd = ::open(file.path().c_str(), O_RDONLY);
    if (fd < 0) continue;
    ::fdatasync(fd);
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    ::close(fd);
  }
}

// body(i) for i in [0, n) on so many threads.
void OnThreads(int n_threads, int n, const std::function<void(int)>& body) {
  std::atomic<int> next = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < n_threads; ++t) {
    threads.emplace_back([&] {
      for (int i = next++; i < n; i = next++) body(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

double OpenSeconds(const std::string& path, int n_blocks) {
  TestDataKeys keys;
  {
    const auto disk = Open(path);
    EncryptedKvTier tier(disk.get(), &keys, VerifyPlain);
    for (int i = 0; i < n_blocks; ++i) {
      const std::string memory = "mem_" + std::to_string(i);
      tier.Put(Stored({.memory_id = memory, .chain = {memory, "mem_0"}, .variant = i}));
    }
  }
  std::unique_ptr<RocksDbKvTier> disk;
  const double seconds = Seconds([&] { disk = Open(path); });
  DKI_CHECK(disk->Stats().blocks == n_blocks);
  return seconds;
}

void Reads(const std::string& path) {
  constexpr int kBlocks = 512;
  TestDataKeys keys;
  // 1 MiB: 2 layers, keys and values, 2 heads of 4 floats: 128 bytes a token.
  std::vector<BlockIdentity> identities;
  {
    const auto disk = Open(path);
    EncryptedKvTier tier(disk.get(), &keys, VerifyPlain);
    for (int i = 0; i < kBlocks; ++i) {
      const StoredBlock block = Stored({.n_tokens = 8192, .variant = i});
      identities.push_back(block.identity);
      tier.Put(block);
    }
  }
  const auto disk = Open(path);
  EncryptedKvTier tier(disk.get(), &keys, VerifyPlain);
  for (const int n_threads : {1, 4}) {
    DropCache(path);
    const double device = Seconds([&] {
      std::vector<std::pair<std::string, int64_t>> pieces;
      for (const auto& file : fs::directory_iterator(path)) {
        if (file.path().extension() != ".blob") continue;
        for (int64_t at = 0; at < static_cast<int64_t>(file.file_size()); at += 1 << 20) {
          pieces.push_back({file.path(), at});
        }
      }
      OnThreads(n_threads, static_cast<int>(pieces.size()), [&](int i) {
        static thread_local std::string buffer(1 << 20, '\0');
        const int fd = ::open(pieces[i].first.c_str(), O_RDONLY);
        DKI_CHECK(::pread(fd, buffer.data(), buffer.size(), pieces[i].second) > 0);
        ::close(fd);
      });
    });
    DropCache(path);
    const double ours = Seconds([&] {
      OnThreads(n_threads, kBlocks, [&](int i) { DKI_CHECK(tier.Get(identities[i]).has_value()); });
    });
    std::printf("\"device_mib_s_%d\": %.0f, \"read_mib_s_%d\": %.0f, ", n_threads, kBlocks / device,
                n_threads, kBlocks / ours);
  }
}

// Area under the ROC curve of "the time is from `a`, not from `b`".
double Auc(const std::vector<double>& a, const std::vector<double>& b) {
  double wins = 0;
  for (const double x : a) {
    for (const double y : b) wins += x > y ? 1 : x == y ? 0.5 : 0;
  }
  return wins / static_cast<double>(a.size() * b.size());
}

void Probes(const std::string& path) {
  constexpr int kProbes = 200;
  TestDataKeys keys;
  const auto disk = Open(path);
  EncryptedKvTier tier(disk.get(), &keys, VerifyPlain);
  // Even ones exist for the victim, and for the prober itself; odd ones for nobody.
  for (int i = 0; i < 2 * kProbes; i += 2) {
    tier.Put(Stored({.tenant_id = "victim", .n_tokens = 512, .variant = i}));
    tier.Put(Stored({.tenant_id = "own", .n_tokens = 512, .variant = i}));
  }
  const auto probe = [&](const std::string& tenant) {
    std::vector<int> order(2 * kProbes);
    std::iota(order.begin(), order.end(), 0);
    std::ranges::shuffle(order, std::mt19937_64(1));
    std::vector<double> there, absent;
    for (const int i : order) {
      const BlockIdentity identity =
          Stored({.tenant_id = tenant, .n_tokens = 512, .variant = i}).identity;
      const double seconds = Seconds([&] { tier.Get(identity); });
      (i % 2 == 0 ? there : absent).push_back(seconds);
    }
    return Auc(there, absent);
  };
  std::printf("\"probe_auc_other\": %.3f, \"probe_auc_own\": %.3f}\n", probe("prober"),
              probe("own"));
}

int Main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: disk_tier_bench FOLDER [BLOCKS]\n");
    return 2;
  }
  const std::string folder = argv[1];
  const int n_blocks = argc > 2 ? std::atoi(argv[2]) : 100'000;
  fs::create_directories(folder);
  std::printf("{\"blocks\": %d, \"open_s\": %.3f, ", n_blocks,
              OpenSeconds(folder + "/many", n_blocks));
  Reads(folder + "/large");
  Probes(folder + "/probes");
  return 0;
}

}  // namespace
}  // namespace dki::kvcache

int main(int argc, char** argv) {
  return dki::kvcache::Main(argc, argv);
}
