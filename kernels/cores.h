// SPDX-License-Identifier: Apache-2.0
// Purpose: how many cores this process may use, which on a server that others share is fewer than
//   the machine has.
// Thread-safety: thread-safe.
#pragma once

#include <string>

namespace dki::kernels {

// The cores in the calling thread's affinity mask (taskset, cpusets of containers), and no more
// than the container's CPU quota pays for (cgroup v2's `cpu.max`, rounded up; Kubernetes' limits).
// At least 1.
int UsableCores();

// Of a cgroup's `cpu.max` ("150000 100000": 1.5 cores): rounded up; 0 for "max" and what is not
// such a line.
int CoresOfQuota(const std::string& cpu_max);

}  // namespace dki::kernels
