// SPDX-License-Identifier: Apache-2.0
// Imports of many memories.
#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tools/dki/commands_fixture.h"

namespace dki::cli {
namespace {

using ::testing::HasSubstr;

class ImportTest : public CommandsTest {
 protected:
  Result Import(const std::string& contents, std::vector<std::string> more = {}) {
    std::ofstream(dir_.File("memories")) << contents;
    more.insert(more.begin(), {"memory", "import", dir_.File("memories")});
    return Run(more);
  }
};

TEST_F(ImportTest, BatchesAndTheirIdsFollowFromTheFile) {
  std::string lines;
  for (int i = 0; i < 450; ++i) lines += "Fact " + std::to_string(i) + "\n\n";
  EXPECT_THAT(Import(lines, {"--user", "ann"}).out, HasSubstr("450 memories read"));
  ASSERT_EQ(fake_.batches.size(), 3);
  EXPECT_EQ(fake_.batches[0].memories_size(), 200);
  EXPECT_EQ(fake_.batches[2].memories_size(), 50);
  EXPECT_EQ(fake_.batches[2].memories(49).text(), "Fact 449");
  EXPECT_EQ(fake_.batches[0].memories(0).scope().user_id(), "ann");
  EXPECT_NE(fake_.batches[0].request_id(), fake_.batches[1].request_id());
  Import(lines, {"--user", "ann"});
  ASSERT_EQ(fake_.batches.size(), 6);
  EXPECT_EQ(fake_.batches[3].request_id(), fake_.batches[0].request_id());
}

TEST_F(ImportTest, JsonLinesCarryTheirFields) {
  EXPECT_EQ(Import(R"({"text": "a", "user": "ann", "tags": ["x"], "pinned": true, "priority": 3,)"
                   R"( "metadata": {"n": 1}, "expires": "2099-01-01T00:00:00Z"})"
                   "\n"
                   R"({"text": "b", "scope": {"user": "bob", "session": "s"}})")
                .code,
            0);
  ASSERT_EQ(fake_.batches.size(), 1);
  const api::MemoryInput& a = fake_.batches[0].memories(0);
  EXPECT_EQ(a.scope().user_id(), "ann");
  EXPECT_THAT(a.tags(), ::testing::ElementsAre("x"));
  EXPECT_TRUE(a.pinned());
  EXPECT_EQ(a.priority(), 3);
  EXPECT_EQ(a.metadata_json(), R"({"n":1})");
  EXPECT_EQ(a.expire_time().seconds(), 4070908800);
  EXPECT_EQ(fake_.batches[0].memories(1).scope().session_id(), "s");
}

TEST_F(ImportTest, ABadLineIsNamedAndNothingIsSent) {
  for (const char* bad :
       {R"({"text": 1})", R"({"texts": "a"})", "{", R"({"text": "a", "user_id": "ann"})",
        R"({"text": "a", "scope": {"users": "ann"}})", R"({"text": "a", "tags": "x"})",
        R"({"text": "a", "pinned": "yes"})", R"({"text": "a", "priority": 1.5})",
        R"({"text": "a", "expires": "soon"})"}) {
    const Result result = Import("fine\n" + std::string(bad) + "\n");
    EXPECT_EQ(result.code, 2) << bad;
    EXPECT_THAT(result.err, HasSubstr("line 2")) << bad;
  }
  EXPECT_EQ(Run({"memory", "import", dir_.File("nothing")}).code, 2);
  EXPECT_EQ(fake_.n_calls, 0);
}

}  // namespace
}  // namespace dki::cli
