// SPDX-License-Identifier: Apache-2.0
// Purpose: what PostgreSQL keeps of deleted rows (dead rows, its log, its memory) goes: the tables
//   that hold texts are written anew, the write-ahead log begins a new file, and the server is
//   started again.
#pragma once

#include <functional>
#include <string>

#include "libs/base/status.h"
#include "tools/dki/cluster/layout.h"

namespace dki::cluster {

// Names the step that begins.
using ScrubProgress = std::function<void(const std::string& step)>;

// REQUIRES: the cluster is running. Each table is locked while it is written anew, and the database
// is away for about a second at the end; services wait or say UNAVAILABLE meanwhile.
absl::Status ScrubPostgres(const Layout& layout, const ScrubProgress& progress);

}  // namespace dki::cluster
