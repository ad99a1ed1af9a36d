// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/migrations.h"

#include <map>

#include "libs/base/sha256.h"
#include "libs/telemetry/log.h"

namespace dki::memory_store {
namespace {

// Any constant that no other application on this database uses.
constexpr const char* kLock = "SELECT pg_advisory_xact_lock(727184001)";
constexpr const char* kTable =
    "CREATE TABLE IF NOT EXISTS schema_migrations ("
    " number int PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,"
    " applied_at timestamptz NOT NULL DEFAULT now())";

}  // namespace

absl::Status ApplyMigrations(Database* database, const std::vector<Migration>& migrations,
                             Database::Deadline deadline) {
  return database->Transact(deadline, [&](pqxx::work& work) {
    // Waiting for another replica, or rewriting a large table, may take long.
    work.exec("SET LOCAL statement_timeout = 0");
    work.exec(kLock);
    work.exec(kTable);
    std::map<int, std::string> applied;
    for (const pqxx::row& row : work.exec("SELECT number, checksum FROM schema_migrations")) {
      applied[row[0].as<int>()] = row[1].as<std::string>();
    }
    const int newest = migrations.empty() ? 0 : migrations.back().number;
    if (!applied.empty() && applied.rbegin()->first > newest) {
      return FailedPrecondition("the database has schema %d, this binary knows %d: it is too old",
                                applied.rbegin()->first, newest);
    }
    for (const Migration& migration : migrations) {
      const std::string checksum = Sha256Hex(migration.sql);
      const auto found = applied.find(migration.number);
      if (found != applied.end()) {
        if (found->second == checksum) continue;
        return FailedPrecondition("migration %s was applied with other contents", migration.name);
      }
      work.exec(migration.sql);
      work.exec_params("INSERT INTO schema_migrations (number, name, checksum) VALUES ($1, $2, $3)",
                       migration.number, migration.name, checksum);
      log::Info("schema migrated", {{"migration", migration.name}});
    }
    return absl::OkStatus();
  });
}

}  // namespace dki::memory_store
