// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/cluster/supervisor.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "libs/base/file.h"
#include "libs/telemetry/log.h"
#include "tools/dki/cluster/postgres.h"
#include "tools/dki/cluster/process.h"

namespace dki::cluster {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kFirstDelay{200};
constexpr milliseconds kLongestDelay{10'000};
constexpr std::chrono::seconds kStable{60};
constexpr std::chrono::seconds kStopTimeout{15};

// A part and what became of it.
struct Child {
  const Part* part = nullptr;
  pid_t pid = 0;
  int restarts = 0;
  std::string last_exit;
  bool was_ready = false;
  Clock::time_point started;
  Clock::time_point next_start;
  milliseconds delay = kFirstDelay;
};

std::string Describe(int status) {
  if (WIFSIGNALED(status)) return absl::StrFormat("killed by signal %d", WTERMSIG(status));
  return absl::StrFormat("exit code %d", WEXITSTATUS(status));
}

class Supervisor {
 public:
  Supervisor(const Layout& layout, const std::vector<Part>& parts) : layout_(layout) {
    for (const Part& part : parts) {
      children_.emplace_back();
      children_.back().part = &part;
    }
    ::sigemptyset(&signals_);
    for (const int signal : {SIGTERM, SIGINT, SIGCHLD}) ::sigaddset(&signals_, signal);
    ::sigprocmask(SIG_BLOCK, &signals_, nullptr);
  }

  absl::Status Run() {
    while (!stopping_) {
      Reap();
      StartWhatIsDue();
      WriteStatus();
      Sleep(milliseconds(50));
    }
    log::Info("stopping");
    for (auto child = children_.rbegin(); child != children_.rend(); ++child) Stop(&*child);
    WriteStatus();
    return absl::OkStatus();
  }

 private:
  // Until a signal or the time is up.
  void Sleep(milliseconds time) {
    const timespec timeout{time.count() / 1000, (time.count() % 1000) * 1'000'000};
    const int signal = ::sigtimedwait(&signals_, nullptr, &timeout);
    if (signal == SIGTERM || signal == SIGINT) stopping_ = true;
  }

  void Reap() {
    int status = 0;
    pid_t pid;
    while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0) {
      for (Child& child : children_) {
        if (child.pid != pid) continue;
        child.pid = 0;
        if (Clock::now() - child.started > kStable) child.delay = kFirstDelay;
        Ended(&child, Describe(status));
      }
    }
  }

  // It will be started again after its delay.
  void Ended(Child* child, const std::string& how) {
    child->last_exit = how;
    if (!stopping_) {
      log::Warning("part ended", {{"part", child->part->name},
                                  {"how", how},
                                  {"restart_in_ms", std::to_string(child->delay.count())}});
    }
    child->next_start = Clock::now() + child->delay;
    child->delay = std::min(child->delay * 2, kLongestDelay);
  }

  void StartWhatIsDue() {
    for (Child& child : children_) {
      if (child.pid == 0 && Clock::now() >= child.next_start) Start(&child);
      if (child.was_ready || !child.part->is_ready) continue;
      // The parts behind it wait for its first readiness; later they cope with its absence.
      if (child.pid == 0 || !child.part->is_ready() || !Prepare(child)) return;
      child.was_ready = true;
    }
  }

  // Tried until it is done; says so once for each reason.
  bool Prepare(const Child& child) {
    if (!child.part->once_ready) return true;
    const absl::Status status = child.part->once_ready();
    if (status.ok()) return true;
    const std::string why = ToString(status);
    if (why != why_not_prepared_) {
      log::Error("part cannot be prepared", {{"part", child.part->name}, {"error", why}});
    }
    why_not_prepared_ = why;
    return false;
  }

  void Start(Child* child) {
    const bool again = !child->last_exit.empty();
    const auto pid = Spawn({child->part->argv, layout_.log(child->part->name), "/", {}});
    if (!pid.ok()) return Ended(child, ToString(pid.status()));
    child->pid = *pid;
    child->started = Clock::now();
    if (again) ++child->restarts;
    log::Info("part started", {{"part", child->part->name}, {"pid", std::to_string(*pid)}});
  }

  void Stop(Child* child) {
    if (child->pid == 0) return;
    ::kill(child->pid, child->part->stop_signal);
    const auto deadline = Clock::now() + kStopTimeout;
    while (child->pid != 0 && Clock::now() < deadline) {
      Sleep(milliseconds(20));
      Reap();
    }
    if (child->pid == 0) return;
    ::kill(child->pid, SIGKILL);
    ::waitpid(child->pid, nullptr, 0);
    child->pid = 0;
  }

  void WriteStatus() {
    nlohmann::json parts = nlohmann::json::array();
    for (const Child& child : children_) {
      parts.push_back({{"name", child.part->name},
                       {"pid", child.pid},
                       {"restarts", child.restarts},
                       {"last_exit", child.last_exit}});
    }
    const std::string text = nlohmann::json{{"supervisor", ::getpid()}, {"parts", parts}}.dump();
    if (text == written_status_) return;
    // A full disk must not stop the watch: the next change writes again.
    if (WriteFileAtomically(layout_.status(), text).ok()) written_status_ = text;
  }

  const Layout& layout_;
  std::vector<Child> children_;
  sigset_t signals_;
  bool stopping_ = false;
  std::string written_status_;
  std::string why_not_prepared_;
};

// A server that outlived a killed supervisor would hold the database folder: it is asked to stop.
void StopOrphan(const Layout& layout) {
  const auto file = ReadFile(layout.postgres() + "/postmaster.pid");
  const pid_t pid = file.ok() ? static_cast<pid_t>(std::atoi(file->c_str())) : 0;
  if (!IsAlive(pid) || !PostgresIsReady(layout)) return;
  ::kill(pid, SIGINT);
  for (int i = 0; i < 200 && IsAlive(pid); ++i) ::usleep(50'000);
}

}  // namespace

absl::Status Supervise(const Layout& layout, const std::vector<Part>& parts) {
  const int lock = ::open(layout.supervisor_pid().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock < 0) return Unavailable("cannot open %s", layout.supervisor_pid());
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock);
    return AlreadyExists("the cluster of %s is running already", layout.data);
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(lock, 0) != 0 || ::write(lock, pid.data(), pid.size()) < 0) {
    ::close(lock);
    return Unavailable("cannot write %s", layout.supervisor_pid());
  }
  // What parts write (texts, their K/V, logs) is for this user alone.
  ::umask(077);
  log::Configure("supervisor", log::Level::kInfo);
  StopOrphan(layout);
  const absl::Status status = Supervisor(layout, parts).Run();
  ::unlink(layout.supervisor_pid().c_str());
  ::close(lock);
  return status;
}

absl::StatusOr<std::vector<Part>> ClusterParts(const Layout& layout) {
  std::vector<Part> parts;
  DKI_ASSIGN_OR_RETURN(std::vector<std::string> postgres, PostgresCommand(layout));
  parts.push_back({kPostgres, std::move(postgres), SIGINT,
                   [&layout] { return PostgresIsReady(layout); },
                   [&layout] { return CreateDatabase(layout); }});
  for (const std::string& service : ServiceNames()) {
    parts.push_back({service,
                     {OwnBinaryFolder() + "/dki_" + service, "--config", layout.config(service)},
                     SIGTERM,
                     nullptr,
                     nullptr});
  }
  return parts;
}

}  // namespace dki::cluster
