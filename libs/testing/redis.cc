// SPDX-License-Identifier: Apache-2.0
#include "libs/testing/redis.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

namespace dki::testing {
namespace {

bool Answers(const std::string& socket_path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, socket_path.c_str(), sizeof address.sun_path - 1);
  const bool connected =
      ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return connected;
}

}  // namespace

TestRedis::TestRedis(std::vector<std::string> arguments) : arguments_(std::move(arguments)) {
  Start();
}

void TestRedis::Start() {
  std::vector<std::string> command = {
      "redis-server", "--port",      "0",  "--unixsocket", socket(),           "--dir",
      folder_.path(), "--daemonize", "no", "--logfile",    folder_.File("log")};
  const bool says_save = !arguments_.empty() && arguments_[0] == "--save";
  if (!says_save) command.insert(command.end(), {"--save", ""});
  command.insert(command.end(), arguments_.begin(), arguments_.end());
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);
    const int fd = ::open("/dev/null", O_WRONLY);
    ::dup2(fd, 1);
    std::vector<char*> argv;
    for (std::string& word : command) argv.push_back(word.data());
    argv.push_back(nullptr);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!Answers(socket())) {
    DKI_CHECK(std::chrono::steady_clock::now() < give_up);
    DKI_CHECK(::waitpid(pid_, nullptr, WNOHANG) == 0);  // it ended: not installed?
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void TestRedis::Stop() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  ::unlink(socket().c_str());
  pid_ = -1;
}

void TestRedis::Pause() {
  ::kill(pid_, SIGSTOP);
}
void TestRedis::Resume() {
  ::kill(pid_, SIGCONT);
}

}  // namespace dki::testing
