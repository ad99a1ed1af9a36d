// SPDX-License-Identifier: Apache-2.0
// Purpose: keeps the parts of a local cluster running: starts them, restarts one that dies (after
// 0.2 s, doubling to 10 s, from
//   0.2 s again when it has run for a minute), stops them in order on SIGTERM. One thread, no
//   shell.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "libs/base/status.h"
#include "tools/dki/cluster/layout.h"

namespace dki::cluster {

// A part to keep running.
struct Part {
  std::string name;
  std::vector<std::string> argv;
  int stop_signal = 15;
  // Waited for (polled) before the next part starts, where set.
  std::function<bool()> is_ready;
  // Run once after it became ready for the first time, where set.
  std::function<absl::Status()> once_ready;
};

// Runs until SIGTERM or SIGINT, then stops the parts in reverse order and returns. Writes
// layout.status() at every change and holds a lock on layout.supervisor_pid(): ALREADY_EXISTS when
// another supervisor has it.
absl::Status Supervise(const Layout& layout, const std::vector<Part>& parts);

// PostgreSQL and the services of a data folder that WriteConfigFiles and PreparePostgres have made.
absl::StatusOr<std::vector<Part>> ClusterParts(const Layout& layout);

}  // namespace dki::cluster
