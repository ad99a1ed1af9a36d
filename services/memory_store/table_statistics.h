// SPDX-License-Identifier: Apache-2.0
// Purpose: the planner's statistics of tables that grow fast. PostgreSQL looks once a minute; until
//   then the plans that were made while a table was nearly empty stay in use, and such a plan may
//   read all of a tenant's rows to find one (any index looks as good as any other then). New
//   statistics have the plans made anew.
// Thread-safety: as Database.
#pragma once

#include "libs/base/status.h"
#include "services/memory_store/database.h"

namespace dki::memory_store {

// Analyses each table of the schema that holds some hundred rows and has changed by as many as it
// had when it was last analysed. Returns how many that were.
absl::StatusOr<int> RefreshStatistics(Database* database, Database::Deadline deadline);

}  // namespace dki::memory_store
