// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/cluster/postgres.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "libs/base/file.h"
#include "tools/dki/cluster/process.h"

namespace dki::cluster {
namespace {

namespace fs = std::filesystem;

// Debian keeps the server's programs in a folder by version; the newest is taken.
absl::StatusOr<std::string> ServerPrograms() {
  std::string best;
  int best_version = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", error)) {
    const int version = std::atoi(entry.path().filename().c_str());
    const std::string folder = entry.path().string() + "/bin";
    if (version > best_version && fs::exists(folder + "/initdb")) {
      best = folder;
      best_version = version;
    }
  }
  if (best.empty())
    return FailedPrecondition("PostgreSQL is not installed: apt-get install postgresql");
  return best;
}

std::string OwnUserName() {
  const passwd* user = ::getpwuid(::geteuid());
  return user == nullptr ? "root" : user->pw_name;
}

std::vector<std::string> Joined(std::vector<std::string> head,
                                const std::vector<std::string>& tail) {
  head.insert(head.end(), tail.begin(), tail.end());
  return head;
}

// Makes `folder` and gives it to the server's user. One that somebody else has put there (the
// socket's may lie in a folder that all may write) is refused.
absl::Status MakeFolder(const std::string& folder, mode_t mode) {
  uid_t uid = ::geteuid();
  gid_t gid = ::getegid();
  if (uid == 0) {
    const passwd* user = ::getpwnam("postgres");
    if (user == nullptr)
      return FailedPrecondition("there is no user postgres: apt-get install postgresql");
    uid = user->pw_uid;
    gid = user->pw_gid;
  }
  std::error_code error;
  fs::create_directories(fs::path(folder).parent_path(), error);
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    return Unavailable("cannot make %s: %s", folder, std::strerror(errno));
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return FailedPrecondition("%s is not a folder: %s", folder, std::strerror(errno));
  struct stat info;
  const bool is_ours =
      ::fstat(fd, &info) == 0 && (info.st_uid == uid || info.st_uid == ::geteuid());
  const bool done = is_ours && ::fchown(fd, uid, gid) == 0 && ::fchmod(fd, mode) == 0;
  ::close(fd);
  if (!is_ours) return FailedPrecondition("%s belongs to somebody else: remove it", folder);
  if (!done) return Unavailable("cannot give %s to PostgreSQL's user", folder);
  return absl::OkStatus();
}

// Only through the socket, and only for the users that run the services and the server.
absl::Status WriteAccessRules(const std::string& folder) {
  DKI_RETURN_IF_ERROR(
      WriteFileAtomically(folder + "/pg_hba.conf", "local all all peer map=dki\n", 0640));
  const std::string user = OwnUserName();
  std::string map = "dki " + user + " dki\ndki " + user + " postgres\n";
  if (user == "root") map += "dki postgres postgres\n";
  DKI_RETURN_IF_ERROR(WriteFileAtomically(folder + "/pg_ident.conf", map, 0640));
  DKI_ASSIGN_OR_RETURN(std::string settings, ReadFile(folder + "/postgresql.conf"));
  settings += "\nlisten_addresses = ''\nmax_connections = 100\nlog_min_messages = warning\n";
  // What was deleted must not live on in a file of the log that is used again.
  settings += "wal_recycle = off\n";
  return WriteFileAtomically(folder + "/postgresql.conf", settings, 0640);
}

absl::StatusOr<std::string> Query(const Layout& layout, const std::string& database,
                                  const std::string& sql) {
  DKI_ASSIGN_OR_RETURN(const std::string programs, ServerPrograms());
  return RunToEnd({programs + "/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h",
                   layout.postgres_socket(), "-U", "postgres", "-d", database, "-c", sql});
}

}  // namespace

absl::Status PreparePostgres(const Layout& layout) {
  DKI_ASSIGN_OR_RETURN(const std::string programs, ServerPrograms());
  DKI_RETURN_IF_ERROR(MakeFolder(layout.postgres_socket(), 0755));
  if (fs::exists(layout.postgres() + "/PG_VERSION")) return absl::OkStatus();
  // Made beside its place and moved there when all is done: what was interrupted is made anew.
  const std::string folder = layout.postgres() + ".new";
  std::error_code error;
  fs::remove_all(folder, error);
  DKI_RETURN_IF_ERROR(MakeFolder(folder, 0700));
  if (!RunToEnd(Joined(AsPostgresUser(), {"/usr/bin/test", "-w", folder})).ok()) {
    return FailedPrecondition(
        "PostgreSQL's user cannot enter %s: choose a --data folder whose parents everybody may "
        "enter",
        folder);
  }
  DKI_RETURN_IF_ERROR(
      RunToEnd(Joined(AsPostgresUser(), {programs + "/initdb", "-D", folder, "--data-checksums",
                                         "-E", "UTF8", "--locale=C.UTF-8", "--auth-local=peer",
                                         "--auth-host=reject", "-U", "postgres"}))
          .status());
  DKI_RETURN_IF_ERROR(WriteAccessRules(folder));
  if (::geteuid() == 0) {
    DKI_RETURN_IF_ERROR(RunToEnd({"/usr/bin/chown", "-R", "postgres:postgres", folder}).status());
  }
  fs::rename(folder, layout.postgres(), error);
  if (error) return Unavailable("cannot make %s: %s", layout.postgres(), error.message());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> PostgresCommand(const Layout& layout) {
  DKI_ASSIGN_OR_RETURN(const std::string programs, ServerPrograms());
  return Joined(AsPostgresUser(),
                {programs + "/postgres", "-D", layout.postgres(), "-k", layout.postgres_socket()});
}

bool PostgresIsReady(const Layout& layout) {
  const auto programs = ServerPrograms();
  return programs.ok() && RunToEnd({*programs + "/pg_isready", "-q", "-h", layout.postgres_socket(),
                                    "-U", "postgres", "-d", "postgres"})
                              .ok();
}

absl::Status CreateDatabase(const Layout& layout) {
  DKI_ASSIGN_OR_RETURN(const std::string role,
                       Query(layout, "postgres", "SELECT 1 FROM pg_roles WHERE rolname = 'dki'"));
  if (role.empty())
    DKI_RETURN_IF_ERROR(Query(layout, "postgres", "CREATE ROLE dki LOGIN").status());
  DKI_ASSIGN_OR_RETURN(
      const std::string database,
      Query(layout, "postgres", "SELECT 1 FROM pg_database WHERE datname = 'dki'"));
  if (database.empty())
    DKI_RETURN_IF_ERROR(Query(layout, "postgres", "CREATE DATABASE dki OWNER dki").status());
  return absl::OkStatus();
}

absl::Status RunSql(const Layout& layout, const std::string& database, const std::string& sql) {
  return Query(layout, database, sql).status();
}

std::string ConnectionString(const Layout& layout) {
  return "host=" + layout.postgres_socket() + " dbname=dki user=dki";
}

}  // namespace dki::cluster
