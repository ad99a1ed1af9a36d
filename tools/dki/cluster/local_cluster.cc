// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/cluster/local_cluster.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "libs/base/file.h"
#include "libs/base/strings.h"
#include "tools/dki/cluster/first_tenant.h"
#include "tools/dki/cluster/postgres.h"
#include "tools/dki/cluster/process.h"
#include "tools/dki/cluster/supervisor.h"

namespace dki::cluster {
namespace {

constexpr std::chrono::seconds kStartTimeout{90};
constexpr std::chrono::seconds kStopTimeout{120};
constexpr std::chrono::seconds kSupervisorTimeout{10};
constexpr std::chrono::milliseconds kHealthTimeout{500};
constexpr int kDefaultPortBase = 7101;
constexpr int kMetricsOffset = 100;

// The process that holds the supervisor's lock; 0 when none does.
pid_t RunningSupervisor(const Layout& layout) {
  const int fd = ::open(layout.supervisor_pid().c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const bool is_free = ::flock(fd, LOCK_SH | LOCK_NB) == 0;
  char text[32] = {};
  const bool has_pid = ::read(fd, text, sizeof(text) - 1) > 0;
  ::close(fd);
  return is_free || !has_pid ? 0 : static_cast<pid_t>(std::atoi(text));
}

// Holds the data folder's lock while it is prepared and started: two `dki up` at once are one after
// the other.
class UpLock {
 public:
  explicit UpLock(const Layout& layout) {
    std::error_code error;
    std::filesystem::create_directories(layout.run(), error);
    fd_ = ::open(layout.up_lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd_ >= 0) ::flock(fd_, LOCK_EX);
  }
  ~UpLock() {
    if (fd_ >= 0) ::close(fd_);
  }
  UpLock(const UpLock&) = delete;
  bool held() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

absl::Status CheckPortIsFree(int port, const std::string& service) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return ResourceExhausted("cannot open a socket");
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool free = ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  ::close(fd);
  if (free) return absl::OkStatus();
  return FailedPrecondition(
      "port %d, which %s needs, is taken: choose other ports with --port-base", port, service);
}

absl::Status CheckFiles(const ClusterSettings& settings) {
  for (const std::string& service : ServiceNames()) {
    const std::string program = OwnBinaryFolder() + "/dki_" + service;
    if (!std::filesystem::exists(program))
      return FailedPrecondition("there is no %s: run tools/build", program);
  }
  for (const std::string& file :
       {settings.model, std::string("all-MiniLM-L6-v2/model.safetensors")}) {
    if (!std::filesystem::exists(settings.models + "/" + file)) {
      return FailedPrecondition(
          "there is no model %s/%s: run tools/setup, or name the folder with --models",
          settings.models, file);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ClusterSettings> SettingsFor(const Layout& layout, const UpOptions& options) {
  auto kept = ReadSettings(layout);
  if (kept.ok()) {
    if (options.port_base && *options.port_base != kept->port_base) {
      return FailedPrecondition(
          "the cluster of %s was made with port base %d: give that, or another --data", layout.data,
          kept->port_base);
    }
    std::error_code ignored;
    if (!options.models.empty() &&
        std::filesystem::absolute(options.models, ignored).string() != kept->models) {
      return FailedPrecondition(
          "the cluster of %s uses the models of %s: edit config/*.yaml and config/cluster.json "
          "there, or give another --data",
          layout.data, kept->models);
    }
    if (!options.model.empty() && options.model != kept->model) {
      return FailedPrecondition(
          "the cluster of %s uses the model %s: edit config/*.yaml and config/cluster.json there, "
          "or give another --data",
          layout.data, kept->model);
    }
    return kept;
  }
  if (!absl::IsNotFound(kept.status())) return kept.status();
  std::error_code error;
  const std::string models = options.models.empty() ? DefaultModelFolder() : options.models;
  const int port_base = options.port_base.value_or(kDefaultPortBase);
  if (port_base < 1024 || port_base > 65000)
    return InvalidArgument("--port-base is %d, must be 1024 to 65000", port_base);
  return ClusterSettings{port_base, std::filesystem::absolute(models, error).string(),
                         options.model.empty() ? kDefaultModel : options.model};
}

// A process of its own session that supervises; logs to log/supervisor.log.
absl::Status StartDaemon(const Layout& layout) {
  const std::string program = OwnBinaryFolder() + "/dki";
  const std::string log = layout.log("supervisor");
  const pid_t pid = ::fork();
  if (pid < 0) return ResourceExhausted("cannot fork");
  if (pid == 0) {
    ::setsid();
    if (::fork() > 0) ::_exit(0);
    const int null = ::open("/dev/null", O_RDONLY);
    const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0640);
    ::dup2(null, 0);
    ::dup2(out, 1);
    ::dup2(out, 2);
    for (int fd = 3; fd < 1024; ++fd) ::close(fd);
    if (::chdir("/") == 0)
      ::execl(program.c_str(), program.c_str(), "supervise", "--data", layout.data.c_str(),
              nullptr);
    ::_exit(127);
  }
  ::waitpid(pid, nullptr, 0);
  return absl::OkStatus();
}

// The supervisor as a child that shares our terminal, and ends with us.
absl::Status StartInForeground(const Layout& layout) {
  // Before any thread: signals wait for StayInForeground.
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT}) ::sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return ResourceExhausted("cannot fork");
  if (pid > 0) return absl::OkStatus();
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(1);
  // A program of its own: our locks are not inherited.
  const std::string program = OwnBinaryFolder() + "/dki";
  ::execl(program.c_str(), program.c_str(), "supervise", "--data", layout.data.c_str(), nullptr);
  ::_exit(127);
}

std::string LastLine(const std::string& path) {
  const auto text = ReadFile(path);
  if (!text.ok()) return "";
  const std::string_view trimmed = Trim(*text);
  return Abbreviate(trimmed.substr(trimmed.rfind('\n') + 1), 400);
}

// The part that keeps the cluster from being ready, with what it last logged.
absl::Status NotReady(const Layout& layout, const ClusterStatus& status) {
  for (const PartStatus& part : status.parts) {
    if (part.health == Health::kServing) continue;
    return Unavailable("%s is %s (%s); its log %s ends: %s", part.name, ToString(part.health),
                       part.pid == 0 ? part.last_exit : "running", layout.log(part.name),
                       LastLine(layout.log(part.name)));
  }
  return Unavailable("the supervisor ended; its log ends: %s", LastLine(layout.log("supervisor")));
}

absl::Status WaitUntilReady(const Layout& layout, const UpProgress& progress) {
  const auto deadline = std::chrono::steady_clock::now() + kStartTimeout;
  while (true) {
    DKI_ASSIGN_OR_RETURN(const ClusterStatus status, GetStatus(layout));
    std::vector<std::string> ready;
    for (const PartStatus& part : status.parts) {
      if (part.health == Health::kServing) ready.push_back(part.name);
    }
    if (progress) progress(ready, ServiceNames().size() + 1);
    if (status.ready) return absl::OkStatus();
    if (!status.running || std::chrono::steady_clock::now() > deadline)
      return NotReady(layout, status);
    ::usleep(50'000);
  }
}

// Returns when the supervisor is running.
absl::Status StartCluster(const Layout& layout, const ClusterSettings& settings, bool foreground) {
  DKI_RETURN_IF_ERROR(CheckFiles(settings));
  for (const std::string& service : ServiceNames()) {
    const int port = ServicePort(settings.port_base, service);
    DKI_RETURN_IF_ERROR(CheckPortIsFree(port, service));
    DKI_RETURN_IF_ERROR(CheckPortIsFree(port + kMetricsOffset, service + "'s metrics"));
  }
  DKI_RETURN_IF_ERROR(WriteConfigFiles(layout, settings));
  DKI_RETURN_IF_ERROR(PreparePostgres(layout));
  DKI_RETURN_IF_ERROR(foreground ? StartInForeground(layout) : StartDaemon(layout));
  const auto deadline = std::chrono::steady_clock::now() + kSupervisorTimeout;
  while (RunningSupervisor(layout) == 0) {
    if (std::chrono::steady_clock::now() > deadline) {
      return Unavailable("the supervisor does not start; its log ends: %s",
                         LastLine(layout.log("supervisor")));
    }
    ::usleep(20'000);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ClientSettings> ReadClientSettings(const Layout& layout) {
  DKI_ASSIGN_OR_RETURN(const std::string text, ReadFile(layout.client_settings()));
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return DataLoss("%s is damaged", layout.client_settings());
  return ClientSettings{json.value("address", ""), json.value("api_key", ""),
                        json.value("tenant", "")};
}

absl::Status Up(const Layout& layout, const UpOptions& options, const UpProgress& progress) {
  DKI_ASSIGN_OR_RETURN(const ClusterSettings settings, SettingsFor(layout, options));
  {
    const UpLock lock(layout);
    if (!lock.held())
      return FailedPrecondition("cannot write to %s: %s", layout.run(), std::strerror(errno));
    if (RunningSupervisor(layout) == 0) {
      DKI_RETURN_IF_ERROR(StartCluster(layout, settings, options.foreground));
    } else if (options.foreground) {
      return AlreadyExists("the cluster of %s runs in the background: dki down stops it",
                           layout.data);
    }
  }
  const absl::Status ready = WaitUntilReady(layout, progress);
  if (!ready.ok() && options.foreground) Down(layout).IgnoreError();
  DKI_RETURN_IF_ERROR(ready);
  return MakeFirstTenant(layout, settings.port_base);
}

absl::Status StayInForeground(const Layout& layout) {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT}) ::sigaddset(&signals, signal);
  const timespec poll{0, 200'000'000};
  int status = 0;
  while (::waitpid(-1, &status, WNOHANG) == 0) {
    if (::sigtimedwait(&signals, nullptr, &poll) > 0) DKI_RETURN_IF_ERROR(Down(layout));
  }
  return absl::OkStatus();
}

absl::Status Down(const Layout& layout) {
  const pid_t supervisor = RunningSupervisor(layout);
  if (supervisor == 0) return absl::OkStatus();
  ::kill(supervisor, SIGTERM);
  const auto deadline = std::chrono::steady_clock::now() + kStopTimeout;
  while (RunningSupervisor(layout) != 0) {
    if (std::chrono::steady_clock::now() > deadline) {
      return DeadlineExceeded("the cluster did not stop; see %s", layout.log("supervisor"));
    }
    ::usleep(50'000);
  }
  return absl::OkStatus();
}

absl::StatusOr<ClusterStatus> GetStatus(const Layout& layout) {
  DKI_ASSIGN_OR_RETURN(const ClusterSettings settings, ReadSettings(layout));
  ClusterStatus status;
  status.running = RunningSupervisor(layout) != 0;
  nlohmann::json written;
  if (const auto text = ReadFile(layout.status()); status.running && text.ok()) {
    written = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  }
  std::vector<std::string> names = {kPostgres};
  names.insert(names.end(), ServiceNames().begin(), ServiceNames().end());
  status.ready = status.running;
  for (const std::string& name : names) {
    PartStatus part;
    part.name = name;
    for (const auto& entry : written.is_object() ? written["parts"] : nlohmann::json::array()) {
      if (entry.value("name", "") != name) continue;
      part.pid = entry.value("pid", 0);
      part.restarts = entry.value("restarts", 0);
      part.last_exit = entry.value("last_exit", "");
    }
    if (name != kPostgres)
      part.address = absl::StrFormat("127.0.0.1:%d", ServicePort(settings.port_base, name));
    if (part.pid != 0) {
      part.health = name != kPostgres         ? CheckHealth(part.address, kHealthTimeout)
                    : PostgresIsReady(layout) ? Health::kServing
                                              : Health::kNotServing;
    }
    status.ready &= part.health == Health::kServing;
    status.parts.push_back(std::move(part));
  }
  return status;
}

absl::Status RunSupervisor(const Layout& layout) {
  DKI_ASSIGN_OR_RETURN(const std::vector<Part> parts, ClusterParts(layout));
  return Supervise(layout, parts);
}

}  // namespace dki::cluster
