// SPDX-License-Identifier: Apache-2.0
// Purpose: the files that a local cluster's parts read: a YAML configuration per service and the
// cluster's key. Made once and then
//   kept, so that what a user edits stays.
#pragma once

#include <string>
#include <vector>

#include "libs/base/status.h"
#include "tools/dki/cluster/layout.h"

namespace dki::cluster {

inline constexpr char kDefaultModel[] = "SmolLM2-135M-Instruct.Q4_1.gguf";

struct ClusterSettings {
  int port_base = 7101;
  std::string models;                 // folder
  std::string model = kDefaultModel;  // in that folder
};

// Writes what is missing below the data folder. The settings of the first call are kept.
absl::Status WriteConfigFiles(const Layout& layout, const ClusterSettings& settings);

// Those of the first WriteConfigFiles. NOT_FOUND when the cluster was never started.
absl::StatusOr<ClusterSettings> ReadSettings(const Layout& layout);

// Settings that WriteConfigFiles would write today and that a service's file does not name, as
// "kv.yaml: encryption_key_file": the file is older than they are, or somebody took them out.
std::vector<std::string> MissingSettings(const Layout& layout, const ClusterSettings& settings);

}  // namespace dki::cluster
