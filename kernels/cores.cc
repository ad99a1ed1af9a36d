// SPDX-License-Identifier: Apache-2.0
#include "kernels/cores.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <thread>

namespace dki::kernels {

int CoresOfQuota(const std::string& cpu_max) {
  std::istringstream line(cpu_max);
  int64_t quota = 0;
  int64_t period = 0;
  if (!(line >> quota >> period) || quota <= 0 || period <= 0) return 0;
  return static_cast<int>(std::min<int64_t>((quota + period - 1) / period, CPU_SETSIZE));
}

int UsableCores() {
  int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  cpu_set_t mask;
  CPU_ZERO(&mask);
  // Fails on machines with more cores than a mask of this size holds; all of them count then.
  if (sched_getaffinity(0, sizeof(mask), &mask) == 0) cores = std::max(1, CPU_COUNT(&mask));
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string line;
  if (std::getline(file, line)) {
    const int paid = CoresOfQuota(line);
    if (paid > 0) cores = std::min(cores, paid);
  }
  return cores;
}

}  // namespace dki::kernels
