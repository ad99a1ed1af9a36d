// SPDX-License-Identifier: Apache-2.0
#include "libs/testing/postgres.h"

#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

namespace dki::testing {
namespace {

namespace fs = std::filesystem;
using Command = std::vector<std::string>;

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "TestPostgres: %s\n", why.c_str());
  std::abort();
}

// Debian keeps initdb and postgres in a versioned folder that is not on PATH.
std::string BinFolder() {
  fs::path newest;
  if (fs::exists("/usr/lib/postgresql")) {
    for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql")) {
      if (fs::exists(entry.path() / "bin/postgres"))
        newest = std::max(newest, entry.path() / "bin");
    }
  }
  if (newest.empty()) Die("no PostgreSQL server is installed (package postgresql)");
  return newest.string();
}

bool IsRoot() {
  return ::geteuid() == 0;
}

// The server refuses to run as root.
Command AsServerUser(const Command& command) {
  if (!IsRoot()) return command;
  Command full = {"setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups",
                  "--pdeathsig=SIGINT"};
  full.insert(full.end(), command.begin(), command.end());
  return full;
}

pid_t Spawn(const Command& command, const std::string& output) {
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child != 0) return child;
  // A group of its own: Ctrl-C reaches the test, which ends the server.
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGINT);
  if (::getppid() != parent) ::_exit(127);
  const int fd = ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  ::dup2(fd, 1);
  ::dup2(fd, 2);
  if (::chdir("/") != 0) ::_exit(127);
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
  ::_exit(127);
}

int Wait(pid_t pid) {
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status;
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void Run(const Command& command, const std::string& output) {
  if (Wait(Spawn(command, output)) != 0) Die(command[0] + " failed:\n" + ReadAll(output));
}

}  // namespace

TestPostgres& TestPostgres::Get() {
  // Static, so that its destructor stops the server.
  static TestPostgres postgres;
  return postgres;
}

TestPostgres::TestPostgres() {
  std::string name = (fs::temp_directory_path() / "dki_pg_XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) Die("cannot make " + name);
  folder_ = name;
  if (IsRoot()) {
    const passwd* user = ::getpwnam("postgres");
    if (user == nullptr) Die("there is no user postgres");
    if (::chown(folder_.c_str(), user->pw_uid, user->pw_gid) != 0) Die("cannot chown " + folder_);
  }
  Run(AsServerUser({BinFolder() + "/initdb", "-D", folder_ + "/data", "-U", "postgres", "-E",
                    "UTF8", "--locale=C.UTF-8", "--auth=trust", "--no-sync"}),
      folder_ + "/initdb.log");
  std::ofstream(folder_ + "/data/postgresql.conf", std::ios::app)
      << "listen_addresses = ''\nunix_socket_directories = '" << folder_
      << "'\nfsync = off\nmax_connections = 100\nshared_buffers = 32MB\n";
  Start();
}

TestPostgres::~TestPostgres() {
  Stop();
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

void TestPostgres::Start() {
  const std::string log = folder_ + "/server.log";
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (std::chrono::steady_clock::now() < give_up) {
    // After a Kill the old backends may hold the data folder for a moment: then the postmaster
    // exits at once and is started again.
    if (postmaster_ < 0) {
      postmaster_ = Spawn(AsServerUser({BinFolder() + "/postgres", "-D", folder_ + "/data"}), log);
    }
    if (Wait(Spawn({BinFolder() + "/pg_isready", "-q", "-h", folder_}, log)) == 0) return;
    int status = 0;
    if (::waitpid(postmaster_, &status, WNOHANG) == postmaster_) postmaster_ = -1;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  Die("the server does not start:\n" + ReadAll(log));
}

void TestPostgres::Stop() {
  if (postmaster_ < 0) return;
  ::kill(postmaster_, SIGINT);  // fast shutdown
  Wait(postmaster_);
  postmaster_ = -1;
}

void TestPostgres::Kill() {
  ::kill(postmaster_, SIGKILL);
  Wait(postmaster_);
  postmaster_ = -1;
}

std::string TestPostgres::CreateDatabase() {
  const std::string name = "test" + std::to_string(++n_databases_);
  Psql("CREATE DATABASE " + name);
  return "host=" + folder_ + " user=postgres dbname=" + name;
}

std::string TestPostgres::Psql(const std::string& sql) {
  const std::string output = folder_ + "/psql.out";
  fs::remove(output);
  Run({BinFolder() + "/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", folder_, "-U",
       "postgres", "-d", "postgres", "-c", sql},
      output);
  return ReadAll(output);
}

}  // namespace dki::testing
