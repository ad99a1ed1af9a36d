// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/cluster/process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "libs/base/strings.h"

namespace dki::cluster {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& s : strings) pointers.push_back(const_cast<char*>(s.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Our environment with `added` in place of what has the same name.
std::vector<std::string> MergedEnvironment(const std::vector<std::string>& added) {
  std::vector<std::string> merged = added;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string name(*entry, std::strcspn(*entry, "=") + 1);
    bool replaced = false;
    for (const std::string& a : added) replaced |= a.rfind(name, 0) == 0;
    if (!replaced) merged.emplace_back(*entry);
  }
  return merged;
}

void ResetSignals() {
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
}

void ReadAll(int fd, std::string* out) {
  char buffer[4096];
  ssize_t n;
  while ((n = ::read(fd, buffer, sizeof(buffer))) > 0 || (n < 0 && errno == EINTR)) {
    if (n > 0) out->append(buffer, static_cast<size_t>(n));
  }
}

}  // namespace

absl::StatusOr<pid_t> Spawn(const SpawnOptions& options) {
  std::vector<char*> argv = Pointers(options.argv);
  const std::vector<std::string> environment = MergedEnvironment(options.environment);
  std::vector<char*> envp = Pointers(environment);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return ResourceExhausted("cannot fork: %s", std::strerror(errno));
  if (pid > 0) return pid;
  // The child: only what is safe after fork.
  ResetSignals();
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(1);
  const int null = ::open("/dev/null", O_RDONLY);
  const int log = ::open(options.log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0640);
  if (null < 0 || log < 0 || ::chdir(options.working_folder.c_str()) != 0) ::_exit(126);
  ::dup2(null, 0);
  ::dup2(log, 1);
  ::dup2(log, 2);
  ::execve(argv[0], argv.data(), envp.data());
  ::_exit(127);
}

absl::StatusOr<std::string> RunToEnd(const std::vector<std::string>& arguments) {
  int out[2];
  int err[2];
  if (::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(err, O_CLOEXEC) != 0) {
    return ResourceExhausted("cannot make a pipe: %s", std::strerror(errno));
  }
  std::vector<char*> argv = Pointers(arguments);
  const pid_t pid = ::fork();
  if (pid < 0) return ResourceExhausted("cannot fork: %s", std::strerror(errno));
  if (pid == 0) {
    ResetSignals();
    const int null = ::open("/dev/null", O_RDONLY);
    ::dup2(null, 0);
    ::dup2(out[1], 1);
    ::dup2(err[1], 2);
    if (::chdir("/") != 0) ::_exit(126);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  ::close(out[1]);
  ::close(err[1]);
  std::string output;
  std::string errors;
  ReadAll(out[0], &output);
  ReadAll(err[0], &errors);
  ::close(out[0]);
  ::close(err[0]);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return output;
  return Internal("%s failed: %s", std::filesystem::path(arguments[0]).filename().string(),
                  Abbreviate(Trim(errors.empty() ? output : errors), 500));
}

bool IsAlive(pid_t pid) {
  return pid > 0 && (::kill(pid, 0) == 0 || errno == EPERM);
}

std::vector<std::string> AsPostgresUser() {
  if (::geteuid() != 0) return {};
  return {"/usr/bin/setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"};
}

std::string OwnBinaryFolder() {
  char path[PATH_MAX];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof(path) - 1);
  return std::filesystem::path(std::string(path, n > 0 ? static_cast<size_t>(n) : 0))
      .parent_path()
      .string();
}

}  // namespace dki::cluster
