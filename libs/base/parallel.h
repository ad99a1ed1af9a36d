// SPDX-License-Identifier: Apache-2.0
// Purpose: waiting for several things side by side (reads of a disk, answers of a server). Not for
//   computing: kernels/thread_pool.h.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>
#include <vector>

namespace dki {

// Calls `run` with 0 to n - 1, each once, on the calling thread and up to max_threads - 1 others;
// returns when all have returned. `run` must be thread-safe and must not throw.
inline void RunInParallel(int n, int max_threads, const std::function<void(int)>& run) {
  std::atomic<int> next = 0;
  const auto work = [&] {
    for (int i = next++; i < n; i = next++) run(i);
  };
  std::vector<std::thread> others;
  for (int t = 1; t < std::min(n, max_threads); ++t) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
}

}  // namespace dki
