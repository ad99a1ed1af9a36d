// SPDX-License-Identifier: Apache-2.0
// Purpose: runs the pieces of one job on a fixed team of threads and waits for them.
// Each thread begins with its own share of the pieces and then takes what others have not begun:
// a job never waits for a thread that the system has put aside, unless it was in the middle of a
// piece. Waiting spins for at most 20 us and then sleeps in the kernel: matrices follow each other
// within microseconds, but other processes share the cores, and a team that only spins collapses
// beside them.
// Thread-safety: jobs may be given by one thread at a time, and not from inside a job.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace dki::kernels {

class ThreadPool {
 public:
  // The calling thread is one of the team. 0: one per core that the process may use (cores.h).
  explicit ThreadPool(int n_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int n_threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(part) for part = 0 .. n_threads() - 1, at the same time if it can be.
  template <typename F>
  void Run(F&& body) {
    RunPieces(n_threads(), body);
  }

  // Splits [0, n) into contiguous ranges, cut at multiples of `grain`, and calls body(begin, end)
  // for each.
  template <typename F>
  void ForRanges(int n, int grain, F&& body) {
    const int64_t units = (int64_t{n} + grain - 1) / grain;
    const int64_t most = int64_t{kPiecesPerThread} * n_threads();
    const int64_t pieces = units < most ? units : most;
    if (pieces <= 1 || n_threads() == 1) {
      if (n > 0) body(0, n);
      return;
    }
    RunPieces(static_cast<int>(pieces), [&](int piece) {
      const int64_t end = units * (piece + 1) / pieces * grain;
      body(static_cast<int>(units * piece / pieces * grain), static_cast<int>(end < n ? end : n));
    });
  }

 private:
  // A thread that is late costs the others a fourth of its share at most.
  static constexpr int kPiecesPerThread = 4;

  using Task = void (*)(void* context, int piece);
  // The pieces [next, end) of a job are not begun; one word, so that taking one also proves that
  // the job is still going on.
  struct alignas(64) Share {
    std::atomic<uint64_t> word{0};  // job : 32, next : 16, end : 16
  };

  template <typename F>
  void RunPieces(int n, F&& body) {
    using Body = std::remove_reference_t<F>;
    RunErased(
        n, [](void* context, int piece) { (*static_cast<Body*>(context))(piece); },
        const_cast<void*>(static_cast<const void*>(&body)));
  }
  void RunErased(int n_pieces, Task task, void* context);
  void Work(int thread);
  // Takes pieces of `job`, those of `thread`'s share first. Returns how many it has run.
  uint32_t TakePieces(uint32_t job, int thread);

  // Of the current job; stable while one of its pieces is not done.
  Task task_ = nullptr;
  void* context_ = nullptr;
  uint32_t n_pieces_ = 0;

  std::vector<Share> shares_;      // [n_threads]
  std::atomic<uint32_t> job_{0};   // a new value is a new job, or the end
  std::atomic<uint32_t> done_{0};  // pieces of it
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

}  // namespace dki::kernels
