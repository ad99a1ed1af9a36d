// SPDX-License-Identifier: Apache-2.0
// Purpose: `dki up`, `down`, `status`, `logs`, `doctor`.
#pragma once

#include <string>

#include "tools/dki/cluster/local_cluster.h"
#include "tools/dki/context.h"

namespace dki::cli {

absl::Status UpCommand(Context& context, const cluster::UpOptions& options);
absl::Status DownCommand(Context& context);
// UNAVAILABLE when a part is not ready.
absl::Status StatusCommand(Context& context);
// The last lines of a service's log, or of all; `follow` goes on until interrupted.
absl::Status LogsCommand(Context& context, const std::string& service, int lines, bool follow);
// Checks the machine and the cluster; FAILED_PRECONDITION when something that is needed is missing.
absl::Status DoctorCommand(Context& context);
absl::Status SuperviseCommand(Context& context);

}  // namespace dki::cli
