// SPDX-License-Identifier: Apache-2.0
// Purpose: the cluster's private PostgreSQL: made by initdb with checksums, reachable through a
// unix socket alone, run as the user
//   `postgres` when we are root.
#pragma once

#include <string>
#include <vector>

#include "libs/base/status.h"
#include "tools/dki/cluster/layout.h"

namespace dki::cluster {

// Makes the database folder if there is none: initdb, access rules, settings. FAILED_PRECONDITION
// with a hint when PostgreSQL is not installed or its user cannot enter the data folder.
absl::Status PreparePostgres(const Layout& layout);

// The server's command line.
absl::StatusOr<std::vector<std::string>> PostgresCommand(const Layout& layout);

// Whether it takes connections.
bool PostgresIsReady(const Layout& layout);

// Makes the role and the database of the services, if there are none. REQUIRES: it is ready.
absl::Status CreateDatabase(const Layout& layout);

// Runs one statement in a database, as the server's superuser. REQUIRES: it is ready.
absl::Status RunSql(const Layout& layout, const std::string& database, const std::string& sql);

// What services connect with (libpq's form).
std::string ConnectionString(const Layout& layout);

}  // namespace dki::cluster
