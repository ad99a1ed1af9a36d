// SPDX-License-Identifier: Apache-2.0
#include "libs/rpc/run_service.h"

#include <grpc/support/log.h>
#include <pthread.h>
#include <signal.h>

#include <cstdio>
#include <optional>

#include "absl/synchronization/mutex.h"
#include "libs/base/file.h"
#include "libs/rpc/config_loader.h"
#include "libs/rpc/grpc_server.h"
#include "libs/rpc/runtime_state.h"
#include "libs/telemetry/log.h"

namespace dki::rpc {
namespace {

constexpr int kExitOk = 0;
constexpr int kExitError = 1;
constexpr int kExitUsage = 2;

struct Flags {
  std::string config_file;
  bool dump_config = false;
  bool version = false;
  bool help = false;
};

absl::StatusOr<Flags> ParseFlags(int argc, char** argv) {
  Flags flags;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--help" || argument == "-h") {
      flags.help = true;
    } else if (argument == "--version") {
      flags.version = true;
    } else if (argument == "--dump_config") {
      flags.dump_config = true;
    } else if (argument.rfind("--config=", 0) == 0) {
      flags.config_file = argument.substr(9);
    } else if (argument == "--config" && i + 1 < argc) {
      flags.config_file = argv[++i];
    } else if (argument == "--config") {
      return InvalidArgument("--config needs a file");
    } else {
      return InvalidArgument("unknown argument \"%s\"", argument);
    }
  }
  return flags;
}

void PrintHelp(const std::string& name) {
  std::printf(
      "The %s service of DKI.\n\n"
      "usage: dki_%s [--config FILE] [--dump_config]\n\n"
      "  --config FILE   YAML; what it does not set keeps its default\n"
      "  --dump_config   print the resulting configuration and exit\n"
      "  --version       print the version and exit\n\n"
      "SIGTERM and SIGINT drain and stop. Exit codes: 0 stopped, 1 error, 2 usage or "
      "configuration\n",
      name.c_str(), name.c_str());
}

int Fail(const std::string& name, int code, const absl::Status& status) {
  std::fprintf(stderr, "dki_%s: %s\n", name.c_str(), std::string(status.message()).c_str());
  return code;
}

// SIGTERM and SIGINT stay blocked in every thread that is started later; Wait takes them.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGTERM);
    sigaddset(&set_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    // A peer that closes its socket is an error of that call, not the end of the process.
    signal(SIGPIPE, SIG_IGN);
  }
  int Wait() const {
    int number = 0;
    while (sigwait(&set_, &number) != 0) {
    }
    return number;
  }

 private:
  sigset_t set_;
};

// gRPC's own messages, errors by default, as lines of the service's log.
void LogOfGrpc(gpr_log_func_args* args) {
  log::Warning("gRPC", {{"file", args->file}, {"detail", args->message}});
}

int Serve(const std::string& name, const google::protobuf::Message& config,
          const config::v1::Server& server_config, const BuildFunction& build) {
  const StopSignals stop_signals;
  // gRPC's own locks. Debian builds Abseil so that each lock taken is entered in a graph.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  log::Configure(name, log::ParseLevel(server_config.log_level()).value_or(log::Level::kInfo));
  gpr_set_log_function(LogOfGrpc);
  absl::StatusOr<ClusterKey> key = ClusterKey::Load(server_config.cluster_key_file());
  if (!key.ok()) return Fail(name, kExitError, Annotate(key.status(), "server.cluster_key_file"));

  ServiceRuntime::Options options;
  options.service_name = name;
  options.max_concurrent_calls = server_config.max_concurrent_calls();
  options.instance = server_config.instance();
  if (!server_config.signing_key_file().empty()) {
    absl::StatusOr<SigningKey> signing_key = SigningKey::Load(server_config.signing_key_file());
    if (!signing_key.ok()) {
      return Fail(name, kExitError, Annotate(signing_key.status(), "server.signing_key_file"));
    }
    options.signing_key = *std::move(signing_key);
  }
  ServiceRuntime runtime(options, *std::move(key));
  absl::StatusOr<std::unique_ptr<ServiceInstance>> instance = build(config, &runtime);
  if (!instance.ok()) return Fail(name, kExitError, instance.status());
  absl::StatusOr<std::unique_ptr<GrpcServer>> server =
      GrpcServer::Start(server_config, &runtime, instance->get());
  if (!server.ok()) return Fail(name, kExitError, server.status());

  log::Info("listening",
            {{"address", server_config.listen()}, {"port", std::to_string((*server)->port())}});
  const int number = stop_signals.Wait();
  log::Info("draining", {{"signal", number == SIGTERM ? "SIGTERM" : "SIGINT"}});
  (*server)->Drain();
  log::Info("stopped");
  return kExitOk;
}

}  // namespace

int RunServiceImpl(
    int argc, char** argv, const std::string& name, const google::protobuf::Message& defaults,
    const std::function<const config::v1::Server&(const google::protobuf::Message&)>& server,
    const BuildFunction& build) {
  const absl::StatusOr<Flags> flags = ParseFlags(argc, argv);
  if (!flags.ok()) {
    return Fail(name, kExitUsage, Annotate(flags.status(), "see --help"));
  }
  if (flags->help) {
    PrintHelp(name);
    return kExitOk;
  }
  if (flags->version) {
    std::printf("dki_%s %s\n", name.c_str(), DKI_VERSION);
    return kExitOk;
  }
  const std::unique_ptr<google::protobuf::Message> config(defaults.New());
  config->CopyFrom(defaults);
  if (!flags->config_file.empty()) {
    const absl::StatusOr<std::string> yaml = ReadFile(flags->config_file);
    if (!yaml.ok()) return Fail(name, kExitUsage, Annotate(yaml.status(), "--config"));
    const absl::Status merged = MergeYaml(*yaml, flags->config_file, config.get());
    if (!merged.ok()) return Fail(name, kExitUsage, merged);
  }
  if (flags->dump_config) {
    std::fputs(DumpYaml(*config).c_str(), stdout);
    return kExitOk;
  }
  const absl::Status valid = ValidateServer(server(*config));
  if (!valid.ok()) return Fail(name, kExitUsage, valid);
  return Serve(name, *config, server(*config), build);
}

config::v1::Server DefaultServer(int port) {
  config::v1::Server server;
  server.set_listen(absl::StrFormat("127.0.0.1:%d", port));
  server.set_metrics_listen(absl::StrFormat("127.0.0.1:%d", port + 100));
  server.set_cluster_key_file("cluster.key");
  server.set_log_level("info");
  server.mutable_drain_timeout()->set_seconds(10);
  server.set_max_concurrent_calls(256);
  server.set_signing_key_file("");
  server.set_instance("");
  return server;
}

}  // namespace dki::rpc
