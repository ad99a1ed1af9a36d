// SPDX-License-Identifier: Apache-2.0
// Purpose: a private PostgreSQL cluster for tests that need a real one. It listens on a unix socket
//   in a temporary folder only, and ends with the test process, however that ends. Label such tests
//   "postgres".
//
//   auto database = testing::TestPostgres::Get().CreateDatabase();  // a connection string
//
// Thread-safety: thread-safe for CreateDatabase; the others are for the test's own thread.
#pragma once

#include <sys/types.h>

#include <string>

namespace dki::testing {

class TestPostgres {
 public:
  // One cluster for the whole test program, made at the first call (about a second). Stops the
  // process when PostgreSQL is not installed or does not start: such a test cannot pass.
  static TestPostgres& Get();

  // A new, empty database; returns its libpq connection string.
  std::string CreateDatabase();
  // Runs SQL through psql as superuser in database "postgres"; returns what it prints (unaligned,
  // tuples only).
  std::string Psql(const std::string& sql);

  // Fault injection. Stop is a fast shutdown; Kill is SIGKILL of the postmaster; after either,
  // Start (again) waits until the server accepts connections.
  void Stop();
  void Kill();
  void Start();
  void Restart() {
    Stop();
    Start();
  }

  TestPostgres(const TestPostgres&) = delete;
  ~TestPostgres();

 private:
  TestPostgres();

  std::string folder_;
  pid_t postmaster_ = -1;
  int n_databases_ = 0;
};

}  // namespace dki::testing
