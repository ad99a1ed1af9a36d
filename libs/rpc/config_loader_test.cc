// SPDX-License-Identifier: Apache-2.0
#include "libs/rpc/config_loader.h"

#include <google/protobuf/util/message_differencer.h>

#include "dki/config/v1/orchestrator.pb.h"

#include "dki/retrieval/v1/retrieval_service.pb.h"
#include "libs/rpc/run_service.h"
#include "libs/testing/status_matchers.h"

namespace dki::rpc {
namespace {

using ::dki::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

config::v1::OrchestratorServer Defaults() {
  config::v1::OrchestratorServer config;
  *config.mutable_server() = DefaultServer(7105);
  config.mutable_gate()->set_enabled(true);
  config.mutable_gate()->set_threshold(0.3f);
  config.mutable_alpha()->set_beta(2);
  config.mutable_assemble()->set_system_prompt("Be brief.");
  return config;
}

TEST(ConfigLoaderTest, MergesOverTheDefaultsAndKeepsExplicitZeros) {
  config::v1::OrchestratorServer config = Defaults();
  ASSERT_OK(
      MergeYaml("# comment\n"
                "server:\n"
                "  listen: unix:/run/dki.sock\n"
                "  drain_timeout: 1500ms\n"
                "gate: {enabled: false, threshold: 0}\n"
                "assemble:\n"
                "  system_prompt: \"\"\n"
                "alpha:\n",
                "f.yaml", &config));
  EXPECT_EQ(config.server().listen(), "unix:/run/dki.sock");
  EXPECT_EQ(config.server().metrics_listen(), "127.0.0.1:7205");
  EXPECT_EQ(config.server().drain_timeout().seconds(), 1);
  EXPECT_EQ(config.server().drain_timeout().nanos(), 500'000'000);
  EXPECT_TRUE(config.gate().has_enabled());
  EXPECT_FALSE(config.gate().enabled());
  EXPECT_TRUE(config.gate().has_threshold());
  EXPECT_EQ(config.gate().threshold(), 0);
  EXPECT_TRUE(config.assemble().has_system_prompt());
  EXPECT_EQ(config.assemble().system_prompt(), "");
  EXPECT_EQ(config.alpha().beta(), 2);
}

TEST(ConfigLoaderTest, UnknownFieldNamesLineAndPathAndChangesNothing) {
  config::v1::OrchestratorServer config = Defaults();
  EXPECT_THAT(
      MergeYaml("gate:\n  threshold: 0.9\nserver:\n  listne: x\n", "f.yaml", &config),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("f.yaml:4: server.listne: unknown field"), HasSubstr("listen"))));
  EXPECT_EQ(config.gate().threshold(), 0.3f);
}

TEST(ConfigLoaderTest, WrongTypesNameWhatIsWanted) {
  const struct {
    const char* yaml;
    const char* message;
  } kCases[] = {
      {"server:\n  max_concurrent_calls: many",
       "f.yaml:2: server.max_concurrent_calls: is \"many\"; it must be a whole number (int32)"},
      {"server:\n  max_concurrent_calls: 99999999999", "it must be a whole number (int32)"},
      {"gate: {enabled: 7}", "gate.enabled: is \"7\"; it must be true or false"},
      {"alpha: {beta: [1]}", "alpha.beta: must be a number"},
      {"server: 5", "f.yaml:1: server: must be a map"},
      {"- 5", "must be a map"},
      {"server: {drain_timeout: 10}", "must be a duration"},
      {"gate: {enabled: true, enabled: false}", "given twice"},
      {"server: {listen: \"x\"", "f.yaml:1"},
  };
  for (const auto& c : kCases) {
    config::v1::OrchestratorServer config = Defaults();
    EXPECT_THAT(MergeYaml(c.yaml, "f.yaml", &config),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(c.message)))
        << c.yaml;
  }
}

TEST(ConfigLoaderTest, AnEmptyFileChangesNothing) {
  config::v1::OrchestratorServer config = Defaults();
  ASSERT_OK(MergeYaml("", "f.yaml", &config));
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(config, Defaults()));
}

TEST(ConfigLoaderTest, ADumpReadsBackEqual) {
  config::v1::OrchestratorServer config = Defaults();
  config.mutable_assemble()->set_system_prompt("a \"b\"\n: c # d\\ \x01");
  config.mutable_server()->set_metrics_listen("");
  config.mutable_server()->mutable_drain_timeout()->set_nanos(1'000'000);
  config::v1::OrchestratorServer read;
  ASSERT_OK(MergeYaml(DumpYaml(config), "dump", &read));
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(config, read)) << DumpYaml(config);
}

TEST(ConfigLoaderTest, AListReplacesTheDefaultsList) {
  retrieval::v1::EmbedRequest message;  // no config has a list yet
  message.add_texts("default");
  ASSERT_OK(MergeYaml("texts: [a, b]", "f.yaml", &message));
  ASSERT_EQ(message.texts_size(), 2);
  EXPECT_EQ(message.texts(1), "b");
  EXPECT_EQ(DumpYaml(message), "texts:\n  - \"a\"\n  - \"b\"\n");
}

}  // namespace
}  // namespace dki::rpc
