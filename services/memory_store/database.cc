// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/database.h"

#include <poll.h>

#include <algorithm>
#include <bit>
#include <exception>

namespace dki::memory_store {
namespace {

constexpr int kMaxConflictRetries = 2;

// libpq's messages end in a newline and may have several lines; a Status has one.
std::string OneLine(const char* what) {
  std::string line(what);
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.pop_back();
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return line;
}

bool IsShutdown(const std::string& sqlstate) {
  return sqlstate == "57P01" || sqlstate == "57P02" || sqlstate == "57P03";
}

absl::Status FromSqlError(const pqxx::sql_error& error) {
  const std::string& state = error.sqlstate();
  const std::string message = OneLine(error.what());
  // 57014: cancelled by statement_timeout; 55P03: lock_timeout.
  if (state == "57014" || state == "55P03") return DeadlineExceeded("database: %s", message);
  if (state.rfind("53", 0) == 0) return ResourceExhausted("database: %s", message);
  // A standby, or tables that the migrations have not made yet.
  if (state == "25006" || state == "42P01") return Unavailable("database: %s", message);
  return Internal("database (%s): %s", state, message);
}

absl::Status InDoubt(const absl::Status& why) {
  return Annotate(why, "database lost while committing; repeat the call with the same request id");
}

// The server has closed it, or says that it will: nobody has asked it anything.
bool IsStale(const pqxx::connection& connection) {
  pollfd socket = {.fd = connection.sock(), .events = POLLIN, .revents = 0};
  return !connection.is_open() || ::poll(&socket, 1, 0) != 0;
}

}  // namespace

std::chrono::milliseconds Remaining(Database::Deadline deadline) {
  const auto now = std::chrono::system_clock::now();
  if (deadline <= now) return std::chrono::milliseconds(0);
  // An infinite deadline would overflow the conversion's arithmetic elsewhere.
  return std::min(std::chrono::ceil<std::chrono::milliseconds>(deadline - now),
                  std::chrono::milliseconds(std::chrono::hours(1)));
}

Database::Database(Options options) : options_(std::move(options)) {}
Database::~Database() = default;

absl::Status Database::Transact(Deadline deadline, const Body& body) {
  return RunWithRetries(deadline, true, [&](Session* session) -> absl::Status {
    pqxx::work work(session->connection);
    // Without a commit the destructor rolls back.
    DKI_RETURN_IF_ERROR(body(work));
    work.commit();
    return absl::OkStatus();
  });
}

absl::Status Database::RunOne(Deadline deadline, bool may_repeat, const OneStatement& body) {
  return RunWithRetries(deadline, may_repeat, [&](Session* session) {
    pqxx::nontransaction work(session->connection);
    return body(work);
  });
}

absl::Status Database::RunWithRetries(Deadline deadline, bool may_repeat, const Attempt& attempt) {
  int conflicts = 0;
  bool reconnected = false;
  while (true) {
    DKI_ASSIGN_OR_RETURN(Connection connection, Acquire(deadline));
    Failure failure = Failure::kNone;
    const absl::Status status = Try(connection.get(), deadline, attempt, &failure);
    if (failure == Failure::kConnectionLost || !connection->connection.is_open()) {
      Discard(std::move(connection));
    } else {
      Release(std::move(connection));
    }
    if (failure == Failure::kConnectionLost && may_repeat && !reconnected) {
      reconnected = true;
      continue;
    }
    if (failure == Failure::kConnectionLost && !may_repeat) return InDoubt(status);
    if (failure == Failure::kConflict && conflicts++ < kMaxConflictRetries) continue;
    return status;
  }
}

absl::Status Database::SetTimeout(Session* session, Deadline deadline) const {
  const std::chrono::milliseconds remaining = Remaining(deadline);
  if (remaining.count() <= 0) return DeadlineExceeded("database: the deadline has passed");
  // The ordinary timeout where it ends not much later, else a power of two: so that calls with like
  // deadlines need not tell the server.
  const std::chrono::milliseconds timeout =
      5 * remaining >= 4 * options_.statement_timeout
          ? options_.statement_timeout
          : std::chrono::milliseconds(std::bit_floor(static_cast<uint64_t>(remaining.count())));
  if (timeout == session->statement_timeout) return absl::OkStatus();
  session->connection.set_variable("statement_timeout", std::to_string(timeout.count()));
  session->statement_timeout = timeout;
  return absl::OkStatus();
}

absl::Status Database::Try(Session* session, Deadline deadline, const Attempt& attempt,
                           Failure* failure) const {
  const pqxx::connection& connection = session->connection;
  *failure = Failure::kFinal;
  try {
    DKI_RETURN_IF_ERROR(SetTimeout(session, deadline));
    const absl::Status status = attempt(session);
    if (status.ok()) *failure = Failure::kNone;
    return status;
  } catch (const pqxx::in_doubt_error& error) {
    return InDoubt(Unavailable("%s", OneLine(error.what())));
  } catch (const pqxx::transaction_rollback& error) {
    *failure = Failure::kConflict;
    return Aborted("database: %s", OneLine(error.what()));
  } catch (const pqxx::sql_error& error) {
    if (connection.is_open() && !IsShutdown(error.sqlstate())) return FromSqlError(error);
    *failure = Failure::kConnectionLost;
    return Unavailable("database: %s", OneLine(error.what()));
  } catch (const pqxx::broken_connection& error) {
    *failure = Failure::kConnectionLost;
    return Unavailable("database: %s", OneLine(error.what()));
  } catch (const std::exception& error) {
    if (connection.is_open()) return Internal("database: %s", OneLine(error.what()));
    *failure = Failure::kConnectionLost;
    return Unavailable("database: %s", OneLine(error.what()));
  }
}

absl::StatusOr<Database::Connection> Database::Acquire(Deadline deadline) {
  {
    MutexLock lock(&mutex_);
    while (idle_.empty() && n_open_ >= options_.pool_size) {
      const std::chrono::milliseconds remaining = Remaining(deadline);
      if (remaining.count() <= 0) {
        return Unavailable("database: all %d connections are busy", options_.pool_size);
      }
      released_.WaitFor(&mutex_, remaining);
    }
    while (!idle_.empty()) {
      Connection connection = std::move(idle_.back());
      idle_.pop_back();
      if (!IsStale(connection->connection)) return connection;
      --n_open_;
    }
    ++n_open_;
  }
  absl::StatusOr<Connection> connection = Connect();
  if (!connection.ok()) {
    Discard(nullptr);
    return connection;
  }
  MutexLock lock(&mutex_);
  (*connection)->generation = generation_;
  return connection;
}

absl::StatusOr<Database::Connection> Database::Connect() const {
  try {
    auto session = std::make_unique<Session>(options_.connection_string);
    session->connection.set_variable("client_encoding", "'UTF8'");
    session->connection.set_variable("client_min_messages", "error");
    // A plan for one tenant at hand is wrong where the statistics do not know that tenant yet: any
    // index that begins with it seems to find a single row. What holds for the usual tenant is
    // right for our statements, and is planned once.
    session->connection.set_variable("plan_cache_mode", "force_generic_plan");
    // Nor does a table stay small because it was when the plan was made. What has no index is read
    // in turn all the same, at a cost that only seems to be worth compiling for.
    session->connection.set_variable("enable_seqscan", "off");
    session->connection.set_variable("jit", "off");
    return session;
  } catch (const std::exception& error) {
    return Unavailable("database: %s", OneLine(error.what()));
  }
}

void Database::Release(Connection connection) {
  MutexLock lock(&mutex_);
  if (connection->generation == generation_) {
    idle_.push_back(std::move(connection));
  } else {
    connection.reset();
    --n_open_;
  }
  released_.NotifyOne();
}

void Database::RenewConnections() {
  std::vector<Connection> closing;
  MutexLock lock(&mutex_);
  ++generation_;
  closing.swap(idle_);
  n_open_ -= static_cast<int>(closing.size());
  closing.clear();
  released_.NotifyAll();
}

void Database::Discard(Connection connection) {
  std::vector<Connection> closing;
  {
    MutexLock lock(&mutex_);
    closing.swap(idle_);
    n_open_ -= static_cast<int>(closing.size()) + 1;
    released_.NotifyAll();
  }
  closing.push_back(std::move(connection));
}

}  // namespace dki::memory_store
