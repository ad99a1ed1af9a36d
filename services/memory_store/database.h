// SPDX-License-Identifier: Apache-2.0
// Purpose: transactions on PostgreSQL. A pool of connections that survives restarts of the server,
//   and the only place where libpqxx's exceptions become Statuses:
//
//   lost connection, server starting or stopping      UNAVAILABLE, after one retry on a new one
//   lost connection while committing (in doubt)       UNAVAILABLE, never retried here: the writer
//                                                     repeats the call with its request id
//   statement or lock timeout, deadline               DEADLINE_EXCEEDED
//   serialization failure, deadlock                   retried twice, then ABORTED
//   disk full, out of memory                          RESOURCE_EXHAUSTED
//   anything else (constraint, syntax, conversion)    INTERNAL: a bug of ours
//
//   Bodies use pqxx freely and let its exceptions pass. What may conflict is written with
//   ON CONFLICT, so a violated constraint is not an ordinary result.
//
//   constexpr Statement kCount{"count_memories", "SELECT count(*) FROM memories WHERE tenant_id =
//   $1"}; int64_t n = 0; DKI_RETURN_IF_ERROR(database->Transact(deadline, [&](pqxx::work& work) {
//     n = Exec(work, kCount, tenant_id)[0][0].as<int64_t>();
//     return absl::OkStatus();
//   }));
//
// Thread-safety: thread-safe; each transaction has a connection of its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <pqxx/pqxx>
#include <string>
#include <utility>
#include <vector>

#include "libs/base/mutex.h"
#include "libs/base/status.h"

namespace dki::memory_store {

// A statement, prepared on a connection at its first use there. `name` is unique in the process.
struct Statement {
  const char* name;
  const char* sql;
};

// Runs a prepared statement. Arguments: numbers, bool, std::string, pqxx::binarystring (never
// empty), nullptr for NULL.
template <typename... Args>
pqxx::result Exec(pqxx::transaction_base& work, const Statement& statement, Args&&... args) {
  work.conn().prepare(statement.name, statement.sql);
  return work.exec_prepared(statement.name, std::forward<Args>(args)...);
}

class Database {
 public:
  struct Options {
    // libpq connection string: "host=/run/dki dbname=dki user=dki".
    std::string connection_string;
    int pool_size = 8;
    std::chrono::milliseconds statement_timeout{5000};
  };
  using Deadline = std::chrono::system_clock::time_point;
  using Body = std::function<absl::Status(pqxx::work&)>;

  // Connects on first use: the server may come up later.
  explicit Database(Options options);
  ~Database();

  // Runs `body` in a READ COMMITTED transaction and commits it when it returns OK; otherwise rolls
  // back and returns its status. `body` may run more than once, so it must (re)set what it
  // captures. UNAVAILABLE when no connection gets free before the deadline.
  absl::Status Transact(Deadline deadline, const Body& body);

  // Closes every connection as soon as it is idle, and opens new ones when they are needed: what
  // libpq's buffers still hold of the statements and rows that went through them is freed.
  void RenewConnections();

  // Runs a `body` of one statement, which is its own transaction: a third of the round trips. A
  // read is run again when the connection is lost, like a Transact; a write is in doubt then, as
  // if while committing.
  using OneStatement = std::function<absl::Status(pqxx::transaction_base&)>;
  absl::Status Read(Deadline deadline, const OneStatement& body) {
    return RunOne(deadline, true, body);
  }
  absl::Status Write(Deadline deadline, const OneStatement& body) {
    return RunOne(deadline, false, body);
  }

 private:
  enum class Failure { kNone, kFinal, kConnectionLost, kConflict };
  struct Session {
    explicit Session(const std::string& connection_string) : connection(connection_string) {}
    pqxx::connection connection;
    std::chrono::milliseconds statement_timeout{0};  // as the server knows it
    int generation = 0;
  };
  using Connection = std::unique_ptr<Session>;

  absl::StatusOr<Connection> Acquire(Deadline deadline);
  absl::StatusOr<Connection> Connect() const;
  void Release(Connection connection);
  // Closes `connection` and every idle one: when one is lost, so are most likely all.
  void Discard(Connection connection);
  absl::Status RunOne(Deadline deadline, bool may_repeat, const OneStatement& body);
  // Runs `attempt` on a connection, again after a conflict, and `may_repeat` after losing it.
  using Attempt = std::function<absl::Status(Session*)>;
  absl::Status RunWithRetries(Deadline deadline, bool may_repeat, const Attempt& attempt);
  // Runs `attempt` once; what it throws becomes a Status.
  absl::Status Try(Session* session, Deadline deadline, const Attempt& attempt,
                   Failure* failure) const;
  // Statements end by the deadline, or little later. Throws as pqxx does.
  absl::Status SetTimeout(Session* session, Deadline deadline) const;

  const Options options_;
  Mutex mutex_;
  CondVar released_;
  std::vector<Connection> idle_ ABSL_GUARDED_BY(mutex_);
  int generation_ ABSL_GUARDED_BY(mutex_) = 0;  // counts RenewConnections
  int n_open_ ABSL_GUARDED_BY(mutex_) = 0;      // idle and in use, at most pool_size
};

// Until then, at most an hour; 0 when it has passed.
std::chrono::milliseconds Remaining(Database::Deadline deadline);

}  // namespace dki::memory_store
