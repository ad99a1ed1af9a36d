// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/cluster/scrub.h"

#include <unistd.h>

#include <chrono>
#include <csignal>

#include "tools/dki/cluster/local_cluster.h"
#include "tools/dki/cluster/postgres.h"

namespace dki::cluster {
namespace {

constexpr std::chrono::seconds kRestartTimeout{60};

absl::StatusOr<pid_t> PostgresPid(const Layout& layout) {
  DKI_ASSIGN_OR_RETURN(const ClusterStatus status, GetStatus(layout));
  for (const PartStatus& part : status.parts) {
    if (part.name == kPostgres && part.pid != 0) return part.pid;
  }
  return Unavailable("PostgreSQL is not running: start the cluster with `dki up`");
}

// The supervisor starts it again.
absl::Status Restart(const Layout& layout) {
  DKI_ASSIGN_OR_RETURN(const pid_t before, PostgresPid(layout));
  if (::kill(before, SIGINT) != 0) return Unavailable("cannot stop PostgreSQL");
  const auto deadline = std::chrono::steady_clock::now() + kRestartTimeout;
  while (std::chrono::steady_clock::now() < deadline) {
    const auto now = PostgresPid(layout);
    if (now.ok() && *now != before && PostgresIsReady(layout)) return absl::OkStatus();
    ::usleep(50'000);
  }
  return DeadlineExceeded("PostgreSQL did not start again; see %s", layout.log(kPostgres));
}

}  // namespace

absl::Status ScrubPostgres(const Layout& layout, const ScrubProgress& progress) {
  DKI_RETURN_IF_ERROR(PostgresPid(layout).status());
  const auto run = [&](const std::string& sql) { return RunSql(layout, "dki", sql); };
  progress("settings");
  // A recycled file of the log would keep its old contents under a new name.
  DKI_RETURN_IF_ERROR(run("ALTER SYSTEM SET wal_recycle = off"));
  DKI_RETURN_IF_ERROR(run("SELECT pg_reload_conf()"));
  for (const char* table :
       {"memories", "memory_versions", "memory_vectors", "conversations", "messages", "audit_texts",
        "audit_open", "requests", "pg_catalog.pg_statistic"}) {
    progress(table);
    DKI_RETURN_IF_ERROR(run(std::string("VACUUM (FULL, ANALYZE) ") + table));
  }
  progress("write-ahead log");
  DKI_RETURN_IF_ERROR(run("SELECT pg_switch_wal()"));
  DKI_RETURN_IF_ERROR(run("CHECKPOINT"));
  progress("restart of the database");
  return Restart(layout);
}

}  // namespace dki::cluster
