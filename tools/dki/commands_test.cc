// SPDX-License-Identifier: Apache-2.0
// Commands on memories, the audit log and the cache, and how commands fail.
#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "libs/base/file.h"
#include "libs/testing/status_matchers.h"
#include "tools/dki/commands_fixture.h"

namespace dki::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST_F(CommandsTest, AddSendsWhatWasSaidAndPrintsTheId) {
  const Result result =
      Run({"memory",     "add", "Ann drinks tea.", "--user",     "ann",       "--session", "s",
           "--agent",    "g",   "--tag",           "x",          "--tag",     "y",         "--pin",
           "--priority", "5",   "--metadata",      "{\"a\": 1}", "--expires", "1h"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "mem_1\n");
  const api::MemoryInput& memory = fake_.add.memory();
  EXPECT_EQ(memory.text(), "Ann drinks tea.");
  EXPECT_EQ(memory.scope().user_id() + memory.scope().session_id() + memory.scope().agent_id(),
            "annsg");
  EXPECT_THAT(memory.tags(), ::testing::ElementsAre("x", "y"));
  EXPECT_TRUE(memory.pinned());
  EXPECT_EQ(memory.priority(), 5);
  EXPECT_EQ(memory.metadata_json(), "{\"a\": 1}");
  EXPECT_TRUE(memory.has_expire_time());
  EXPECT_FALSE(fake_.add.request_id().empty());
  EXPECT_EQ(fake_.authorization, "Bearer secret");
}

TEST_F(CommandsTest, WithoutAScopeAnAdministratorSeesEveryMemory) {
  EXPECT_EQ(Run({"memory", "show", "mem_1"}).code, 0);
  EXPECT_FALSE(fake_.get.has_viewer());
  EXPECT_EQ(Run({"memory", "show", "mem_1", "--user", "ann"}).code, 0);
  EXPECT_EQ(fake_.get.viewer().user_id(), "ann");
}

TEST_F(CommandsTest, ExitCodesTellWhoMustAct) {
  using Code = grpc::StatusCode;
  for (const auto& [code, exit] : {std::pair{Code::NOT_FOUND, 1},
                                   {Code::INTERNAL, 1},
                                   {Code::PERMISSION_DENIED, 1},
                                   {Code::INVALID_ARGUMENT, 2},
                                   {Code::OUT_OF_RANGE, 2},
                                   {Code::UNAVAILABLE, 3}}) {
    fake_.status = grpc::Status(code, "the reason");
    const Result result = Run({"memory", "show", "mem_1"});
    EXPECT_EQ(result.code, exit) << code;
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, HasSubstr("the reason"));
  }
  for (const std::vector<std::string>& wrong : {std::vector<std::string>{},
                                                {"nonsense"},
                                                {"memory", "add"},
                                                {"chat", "q", "--alpha", "x"},
                                                {"chat", "q", "--mode", "x"},
                                                {"memory", "add", "t", "--expires", "soon"}}) {
    EXPECT_EQ(Run(wrong).code, 2);
  }
  EXPECT_EQ(Run({"--version"}).code, 0);
  EXPECT_EQ(Run({"memory", "add", "--help"}).code, 0);
}

TEST_F(CommandsTest, AnErrorIsOneLineWithWhatToDo) {
  fake_.status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "embedding is\naway");
  const Result away = Run({"memory", "search", "tea"});
  EXPECT_THAT(away.err, StartsWith("error: "));
  EXPECT_THAT(away.err, HasSubstr("embedding is away"));
  EXPECT_THAT(away.err, HasSubstr("dki up"));
  EXPECT_EQ(std::count(away.err.begin(), away.err.end(), '\n'), 1);
  fake_.status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "the API key is not valid");
  EXPECT_THAT(Run({"memory", "search", "tea"}).err, HasSubstr("--key"));

  server_->Shutdown();
  const Result gone = Run({"memory", "search", "tea"});
  EXPECT_EQ(gone.code, 3);
  EXPECT_THAT(gone.err, HasSubstr(address_));
  ::unsetenv("DKI_ADDRESS");
  const Result none = Run({"memory", "search", "tea"});
  EXPECT_EQ(none.code, 3);
  EXPECT_THAT(none.err, HasSubstr("dki up"));
}

TEST_F(CommandsTest, JsonIsOneObjectWhateverHappens) {
  const std::vector<std::vector<std::string>> commands = {{"memory", "add", "t"},
                                                          {"memory", "list", "--limit", "1"},
                                                          {"memory", "show", "mem_1"},
                                                          {"memory", "search", "q"},
                                                          {"chat", "q"},
                                                          {"explain", kDecisionId},
                                                          {"audit", "list"},
                                                          {"audit", "show", kDecisionId},
                                                          {"audit", "verify"},
                                                          {"kv", "stats"},
                                                          {"kv", "ls"},
                                                          {"kv", "verify"},
                                                          {"kv", "pin", "mem_1"},
                                                          {"kv", "evict", "--all"},
                                                          {"status"},
                                                          {"doctor"}};
  fake_.verified.set_problem("link 3 was altered");  // and not valid
  for (const bool fails : {false, true}) {
    if (fails) fake_.status = grpc::Status(grpc::StatusCode::NOT_FOUND, "gone");
    for (std::vector<std::string> command : commands) {
      command.emplace_back("--json");
      const Result result = Run(command);
      const auto json = nlohmann::json::parse(result.out, nullptr, false);
      EXPECT_TRUE(json.is_object()) << command[0] << ": " << result.out;
      if (fails && command[0] == "memory") {
        EXPECT_EQ(json["error"]["code"], "NOT_FOUND");
        EXPECT_EQ(result.err, "");
      }
    }
  }
}

TEST_F(CommandsTest, ABrokenChainIsAnError) {
  fake_.verified.set_broken_sequence(3);
  fake_.verified.set_problem("the link was altered");
  const Result broken = Run({"audit", "verify"});
  EXPECT_EQ(broken.code, 1);
  EXPECT_THAT(broken.err, HasSubstr("broken at link 3 "));
  fake_.verified.set_valid(true);
  const Result valid = Run({"audit", "verify"});
  EXPECT_EQ(valid.code, 0);
  EXPECT_THAT(valid.out, StartsWith("valid"));
}

TEST_F(CommandsTest, KvShowsAndChangesWhatIsWhere) {
  const Result stats = Run({"kv", "stats"});
  EXPECT_EQ(stats.code, 0) << stats.err;
  for (const char* shown : {"disk", "3.0 MiB", "17"}) EXPECT_THAT(stats.out, HasSubstr(shown));

  const Result list = Run({"kv", "ls", "--memory", "mem_1", "--limit", "2"});
  EXPECT_EQ(list.code, 0) << list.err;
  for (const char* shown : {"mem_1", "12", "4321", "1m30s", "beyond share", "2096-10-02"}) {
    EXPECT_THAT(list.out, HasSubstr(shown));
  }
  ASSERT_EQ(fake_.kv_lists.size(), 2u) << "page by page";
  EXPECT_EQ(fake_.kv_lists[0].memory_id(), "mem_1");
  EXPECT_EQ(fake_.kv_lists[0].page_size(), 2);
  EXPECT_EQ(fake_.kv_lists[1].page_token(), "more");
  EXPECT_EQ(fake_.kv_lists[1].page_size(), 1);

  EXPECT_THAT(Run({"kv", "verify"}).out, StartsWith("sound: 9 blocks"));
  fake_.n_damaged = 1;
  const Result damaged = Run({"kv", "verify"});
  EXPECT_EQ(damaged.code, 1);
  EXPECT_THAT(damaged.err, HasSubstr("1 of 9 blocks were damaged"));
  EXPECT_THAT(damaged.out, HasSubstr("mem_1"));

  EXPECT_EQ(Run({"kv", "pin", "mem_1"}).code, 0);
  EXPECT_EQ(fake_.update.id(), "mem_1");
  EXPECT_EQ(fake_.update.update_mask().paths(0), "pinned");
  EXPECT_TRUE(fake_.update.memory().pinned());
  EXPECT_EQ(Run({"kv", "unpin", "mem_1"}).code, 0);
  EXPECT_FALSE(fake_.update.memory().pinned());

  EXPECT_EQ(Run({"kv", "evict"}).code, 2) << "which?";
  EXPECT_THAT(Run({"kv", "evict", "mem_1"}).out, HasSubstr("evicted 4 blocks"));
  EXPECT_EQ(fake_.evict.memory_id(), "mem_1");
  EXPECT_EQ(Run({"kv", "evict", "--all"}).code, 0);
  EXPECT_TRUE(fake_.evict.all());
}

TEST_F(CommandsTest, TheLocalKeyDoesNotLeaveTheMachine) {
  ::unsetenv("DKI_API_KEY");
  const nlohmann::json settings = {
      {"address", "127.0.0.1:1"}, {"api_key", "local secret"}, {"tenant", "default"}};
  ASSERT_OK(WriteFileAtomically(dir_.File("client.json"), settings.dump(), 0600));
  const Result result = Run({"memory", "show", "mem_1", "--address", "192.0.2.1:7105"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("--key"));
  EXPECT_EQ(Run({"memory", "show", "mem_1"}).code, 0);
  EXPECT_EQ(fake_.authorization, "Bearer local secret");
  EXPECT_EQ(Run({"memory", "show", "mem_1", "--key", "mine"}).code, 0);
  EXPECT_EQ(fake_.authorization, "Bearer mine");
}

TEST(EscapeControlsTest, NothingMovesTheCursor) {
  EXPECT_EQ(EscapeControls("a\x1b[2Jb\r\x07\x7f"),
            "a\xEF\xBF\xBD[2Jb\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(EscapeControls("\xC2\x9B"), "\xEF\xBF\xBD");
  EXPECT_EQ(EscapeControls("line\n\ttab é 😀"), "line\n\ttab é 😀");
}

}  // namespace
}  // namespace dki::cli
