// SPDX-License-Identifier: Apache-2.0
// Purpose: runs one function on all threads of a fixed team and waits for it.
// Waiting spins for at most 20 us and then sleeps in the kernel: matrices follow each other within
// microseconds, but other processes share the cores, and a team that only spins collapses beside
// them.
// Thread-safety: Run may be called from one thread at a time, and not from inside Run.
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
  // The calling thread is one of the team. 0: one per core.
  explicit ThreadPool(int n_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int n_threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(thread) with thread = 0 .. n_threads() - 1, each on its own thread.
  template <typename F>
  void Run(F&& body) {
    using Body = std::remove_reference_t<F>;
    RunErased([](void* context, int thread) { (*static_cast<Body*>(context))(thread); },
              const_cast<void*>(static_cast<const void*>(&body)));
  }

  // Splits [0, n) into one contiguous range per thread, cut at multiples of `grain`, and calls
  // body(begin, end) for those that are not empty.
  template <typename F>
  void ForRanges(int n, int grain, F&& body) {
    const int64_t units = (int64_t{n} + grain - 1) / grain;
    if (units <= 1 || n_threads() == 1) {
      if (n > 0) body(0, n);
      return;
    }
    Run([&](int thread) {
      const int begin = static_cast<int>(units * thread / n_threads() * grain);
      const int64_t end = units * (thread + 1) / n_threads() * grain;
      if (begin < end) body(begin, static_cast<int>(end < n ? end : n));
    });
  }

 private:
  using Task = void (*)(void* context, int thread);
  void RunErased(Task task, void* context);
  void Work(int thread);

  Task task_ = nullptr;
  void* context_ = nullptr;
  std::atomic<uint32_t> epoch_{0};    // a new value is a new task, or the end
  std::atomic<uint32_t> running_{0};  // workers that have not finished it
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

}  // namespace dki::kernels
