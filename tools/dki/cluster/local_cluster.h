// SPDX-License-Identifier: Apache-2.0
// Purpose: `dki up`, `down`, `status`: the cluster of one machine as a whole.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "libs/base/status.h"
#include "tools/dki/cluster/config_files.h"
#include "tools/dki/cluster/health.h"
#include "tools/dki/cluster/layout.h"

namespace dki::cluster {

struct UpOptions {
  std::optional<int> port_base;  // default 7101, or what the cluster was made with
  std::string models;            // folder; empty: DefaultModelFolder()
  std::string model;             // in that folder; empty: kDefaultModel, or what it was made with
  bool foreground = false;       // supervise in this process until SIGTERM
};

// What a client needs: `client.json`.
struct ClientSettings {
  std::string address;
  std::string api_key;
  std::string tenant;
};
absl::StatusOr<ClientSettings> ReadClientSettings(const Layout& layout);

// Called while Up waits: which parts are ready, of how many.
using UpProgress = std::function<void(const std::vector<std::string>& ready, size_t total)>;

// Starts the cluster, or waits for the one that runs, until every part is serving; makes the first
// tenant and key. Idempotent. With `foreground` the supervisor is a child of this process: follow
// with StayInForeground. ALREADY_EXISTS when it runs in the background.
absl::Status Up(const Layout& layout, const UpOptions& options, const UpProgress& progress);

// Until SIGTERM, SIGINT or the supervisor's end; then all parts have stopped.
absl::Status StayInForeground(const Layout& layout);

// Stops all parts; OK when none runs.
absl::Status Down(const Layout& layout);

struct PartStatus {
  std::string name;
  std::string address;  // empty for PostgreSQL
  int pid = 0;          // 0: not running
  int restarts = 0;
  std::string last_exit;
  Health health = Health::kUnreachable;
};
struct ClusterStatus {
  bool running = false;  // the supervisor lives
  bool ready = false;    // and every part serves
  std::vector<PartStatus> parts;
};
absl::StatusOr<ClusterStatus> GetStatus(const Layout& layout);

// Supervises in this process: what the daemon runs.
absl::Status RunSupervisor(const Layout& layout);

}  // namespace dki::cluster
