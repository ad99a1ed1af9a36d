// SPDX-License-Identifier: Apache-2.0
// The process as its operator sees it: arguments in, exit code and stderr out. Each run is a child
// process.
#include "libs/rpc/run_service.h"

#include <signal.h>
#include <unistd.h>

#include <filesystem>

#include "dki/config/v1/retrieval.pb.h"
#include "libs/base/file.h"
#include "libs/rpc/test_service.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace dki::rpc {
namespace {

using config::v1::RetrievalServer;
using ::testing::ExitedWithCode;

class RunServiceTest : public ::testing::Test {
 protected:
  RunServiceTest() {
    GTEST_FLAG_SET(death_test_style, "threadsafe");  // a fresh process: no threads of the parent's
    EXPECT_OK(WriteFileAtomically(dir_.File("key"), std::string(64, 'a'), 0600));
  }

  // Runs the service; it gets SIGTERM once it has started. Never returns.
  [[noreturn]] void Run(std::vector<std::string> arguments, const std::string& yaml = "") {
    RetrievalServer defaults;
    *defaults.mutable_server() = TestServerConfig();
    defaults.mutable_server()->set_cluster_key_file(dir_.File("key"));
    if (!yaml.empty()) {
      if (!WriteFileAtomically(dir_.File("c.yaml"), yaml).ok()) std::exit(99);
      arguments.push_back("--config");
      arguments.push_back(dir_.File("c.yaml"));
    }
    arguments.insert(arguments.begin(), "dki_test");
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    const int exit_code = RunService<RetrievalServer>(
        static_cast<int>(argv.size()), argv.data(), "test", defaults,
        [](const RetrievalServer&,
           ServiceRuntime* runtime) -> absl::StatusOr<std::unique_ptr<ServiceInstance>> {
          auto service = std::make_unique<TestService>(
              runtime, Requirement::Authenticated(), [](const Call&) { return absl::OkStatus(); });
          service->on_start = [] { ::kill(::getpid(), SIGTERM); };
          return service;
        });
    std::filesystem::remove_all(dir_.path());  // exit does not run the fixture's destructor
    std::exit(exit_code);
  }

  testing::TempDir dir_;
};

TEST_F(RunServiceTest, DrainsOnSigtermAndExitsWith0) {
  EXPECT_EXIT(Run({}), ExitedWithCode(0), "\"listening\".*(.|\n)*\"draining\"(.|\n)*\"stopped\"");
}

TEST_F(RunServiceTest, UsageAndConfigErrorsExitWith2) {
  EXPECT_EXIT(Run({"--verbose"}), ExitedWithCode(2), "unknown argument \"--verbose\"");
  EXPECT_EXIT(Run({"--config"}), ExitedWithCode(2), "--config needs a file");
  EXPECT_EXIT(Run({"--config=/nonexistent"}), ExitedWithCode(2), "/nonexistent");
  EXPECT_EXIT(Run({}, "server: {prot: 1}"), ExitedWithCode(2), "c.yaml:1: server.prot: unknown");
  EXPECT_EXIT(Run({}, "server: {max_concurrent_calls: 0}"), ExitedWithCode(2),
              "server.max_concurrent_calls is 0");
}

TEST_F(RunServiceTest, WhatStopsAStartExitsWith1) {
  EXPECT_EXIT(Run({}, "server: {cluster_key_file: /nonexistent}"), ExitedWithCode(1),
              "server.cluster_key_file: cannot open /nonexistent");
  EXPECT_EXIT(Run({}, "server: {listen: \"256.0.0.1:1\"}"), ExitedWithCode(1),
              "server.listen: cannot listen on 256.0.0.1:1");
}

TEST_F(RunServiceTest, VersionHelpAndDumpExitWith0) {
  EXPECT_EXIT(Run({"--version"}), ExitedWithCode(0), "");
  EXPECT_EXIT(Run({"--help"}), ExitedWithCode(0), "");
  EXPECT_EXIT(Run({"--dump_config"}, "embedding_model: x"), ExitedWithCode(0), "");
}

}  // namespace
}  // namespace dki::rpc
