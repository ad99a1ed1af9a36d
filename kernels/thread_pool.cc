// SPDX-License-Identifier: Apache-2.0
#include "kernels/thread_pool.h"

#include <algorithm>
#include <chrono>

#include "kernels/cores.h"

namespace dki::kernels {
namespace {

constexpr auto kSpin = std::chrono::microseconds(20);

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Returns when `value` differs from `old`.
void AwaitChange(const std::atomic<uint32_t>& value, uint32_t old) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {
      if (value.load(std::memory_order_acquire) != old) return;
      Pause();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int n_threads) {
  if (n_threads <= 0) n_threads = UsableCores();
  shares_ = std::vector<Share>(n_threads);
  for (int i = 1; i < n_threads; ++i) workers_.emplace_back([this, i] { Work(i); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  job_.fetch_add(1, std::memory_order_release);
  job_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::RunErased(int n_pieces, Task task, void* context) {
  if (workers_.empty()) {
    for (int piece = 0; piece < n_pieces; ++piece) task(context, piece);
    return;
  }
  task_ = task;
  context_ = context;
  n_pieces_ = static_cast<uint32_t>(n_pieces);
  done_.store(0, std::memory_order_relaxed);
  const uint32_t job = job_.load(std::memory_order_relaxed) + 1;
  const uint64_t n_shares = shares_.size();
  for (uint64_t i = 0; i < n_shares; ++i) {
    const uint64_t word =
        uint64_t{job} << 32 | n_pieces_ * i / n_shares << 16 | n_pieces_ * (i + 1) / n_shares;
    shares_[i].word.store(word, std::memory_order_release);
  }
  job_.store(job, std::memory_order_release);
  job_.notify_all();
  const uint32_t mine = TakePieces(job, 0);
  uint32_t done = done_.fetch_add(mine, std::memory_order_acq_rel) + mine;
  for (; done != n_pieces_; done = done_.load(std::memory_order_acquire)) AwaitChange(done_, done);
}

uint32_t ThreadPool::TakePieces(uint32_t job, int thread) {
  uint32_t taken = 0;
  const size_t n_shares = shares_.size();
  for (size_t i = 0; i < n_shares; ++i) {
    std::atomic<uint64_t>& share = shares_[(thread + i) % n_shares].word;
    uint64_t word = share.load(std::memory_order_acquire);
    while (word >> 32 == job && (word >> 16 & 0xFFFF) < (word & 0xFFFF)) {
      if (!share.compare_exchange_weak(word, word + 0x10000, std::memory_order_acq_rel)) continue;
      task_(context_, static_cast<int>(word >> 16 & 0xFFFF));
      ++taken;
      word = share.load(std::memory_order_acquire);
    }
  }
  return taken;
}

void ThreadPool::Work(int thread) {
  uint32_t seen = 0;
  while (true) {
    AwaitChange(job_, seen);
    seen = job_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_relaxed)) return;
    const uint32_t taken = TakePieces(seen, thread);
    if (taken == 0) continue;  // too late: the job may be over
    const uint32_t n_pieces = n_pieces_;
    if (done_.fetch_add(taken, std::memory_order_acq_rel) + taken == n_pieces) done_.notify_one();
  }
}

}  // namespace dki::kernels
