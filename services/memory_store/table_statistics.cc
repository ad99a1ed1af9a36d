// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/table_statistics.h"

#include <string>

namespace dki::memory_store {
namespace {

// Of a few rows there is nothing to learn; a table that is large is left to PostgreSQL's own rule,
// which is stricter.
constexpr Statement kOutdated{"outdated_statistics", R"(
    SELECT quote_ident(c.relname)
      FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
     WHERE s.schemaname = current_schema()
       AND s.n_mod_since_analyze >= c.reltuples
       AND s.n_live_tup BETWEEN 300 AND 1000000
     ORDER BY 1)"};

}  // namespace

absl::StatusOr<int> RefreshStatistics(Database* database, Database::Deadline deadline) {
  int n_analysed = 0;
  DKI_RETURN_IF_ERROR(database->Transact(deadline, [&](pqxx::work& work) {
    n_analysed = 0;
    for (const pqxx::row& row : Exec(work, kOutdated)) {
      work.exec("ANALYZE " + row[0].as<std::string>());
      ++n_analysed;
    }
    return absl::OkStatus();
  }));
  return n_analysed;
}

}  // namespace dki::memory_store
