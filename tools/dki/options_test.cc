// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/options.h"

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>

#include "absl/time/time.h"
#include "tools/dki/memory_commands.h"

namespace dki::cli {
namespace {

class OptionsTest : public ::testing::Test {
 protected:
  OptionsTest() : app_("", "dki") { DeclareCommands(&app_, &global_, &action_); }
  bool Parses(const std::string& line) {
    try {
      app_.parse(line);
      return true;
    } catch (const CLI::ParseError&) {
      return false;
    }
  }

  CLI::App app_;
  GlobalOptions global_;
  Action action_;
};

TEST_F(OptionsTest, EveryCommandOfTheReadmeParses) {
  for (const char* line : {"up --port-base 9000",
                           "down",
                           "status --json",
                           "logs kv -f",
                           "doctor",
                           "memory add text --user a --tag x --pin",
                           "memory list --all",
                           "memory show mem_1",
                           "memory edit mem_1 text",
                           "memory history mem_1",
                           "memory rm mem_1",
                           "memory search words -k 3",
                           "memory import - --user a",
                           "chat",
                           "chat question --mode vanilla --alpha 0.5 --explain",
                           "explain dec_1",
                           "audit list",
                           "audit show dec_1",
                           "audit verify",
                           "kv stats",
                           "kv ls --memory mem_1 --limit 5",
                           "kv verify --json",
                           "kv pin mem_1",
                           "kv unpin mem_1",
                           "kv evict mem_1",
                           "kv evict --all",
                           "tenant add a",
                           "tenant list",
                           "tenant rm a",
                           "key add --tenant a --scope chat",
                           "key list",
                           "key revoke key_1",
                           "completion bash",
                           "eval run --suite f --arms vanilla,default --n 5 --local"}) {
    app_.clear();
    EXPECT_TRUE(Parses(line)) << line;
    EXPECT_TRUE(static_cast<bool>(action_)) << line;
  }
}

TEST_F(OptionsTest, MistakesAreRefused) {
  for (const char* line :
       {"", "memory", "memory add", "nonsense", "chat q --alpha x", "up --nonsense"}) {
    app_.clear();
    EXPECT_FALSE(Parses(line)) << line;
  }
}

TEST_F(OptionsTest, CompletionKnowsTheCommands) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const auto script = CompletionScript(app_, shell);
    ASSERT_TRUE(script.ok());
    for (const char* word : {"memory", "import", "--alpha", "verify", "evict", "unpin"})
      EXPECT_NE(script->find(word), std::string::npos) << word;
    EXPECT_EQ(script->find("supervise"), std::string::npos);
  }
  EXPECT_FALSE(CompletionScript(app_, "tcsh").ok());
}

TEST(ParseExpiryTest, TimesAndDurations) {
  const absl::Time now = absl::FromUnixSeconds(1'000'000);
  EXPECT_EQ(*ParseExpiry("30d", now), now + absl::Hours(720));
  EXPECT_EQ(*ParseExpiry("90s", now), now + absl::Seconds(90));
  EXPECT_EQ(*ParseExpiry("1970-01-01T00:00:10Z", now), absl::FromUnixSeconds(10));
  for (const char* bad : {"", "d", "soon", "-5s", "99999999d"})
    EXPECT_FALSE(ParseExpiry(bad, now).ok()) << bad;
}

TEST(ExitCodeTest, TellsWhoMustAct) {
  EXPECT_EQ(ExitCodeFor(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCodeFor(NotFound("x")), 1);
  EXPECT_EQ(ExitCodeFor(InvalidArgument("x")), 2);
  EXPECT_EQ(ExitCodeFor(Unavailable("x")), 3);
}

}  // namespace
}  // namespace dki::cli
