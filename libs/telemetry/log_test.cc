// SPDX-License-Identifier: Apache-2.0
#include "libs/telemetry/log.h"

#include <gtest/gtest.h>

#include "libs/testing/status_matchers.h"

namespace dki::log {
namespace {

TEST(LogTest, ALineIsOneJsonObject) {
  EXPECT_EQ(FormatLine(absl::FromUnixMillis(1'700'000'000'123), Level::kInfo, "kv", "block stored",
                       {{"request_id", "r1"}, {"n", "2"}}),
            R"({"time":"2023-11-14T22:13:20.123Z","level":"info","service":"kv",)"
            R"("message":"block stored","request_id":"r1","n":"2"})");
}

TEST(LogTest, HostileTextStaysInsideItsString) {
  const std::string line = FormatLine(absl::UnixEpoch(), Level::kError, "s", "a\"b\\c\nd\x01",
                                      {{"bad", std::string("\xff\0x", 3)}, {"ok", "ä"}});
  EXPECT_NE(line.find(R"("message":"a\"b\\c\nd\u0001")"), std::string::npos) << line;
  EXPECT_NE(line.find("\"bad\":\"\xEF\xBF\xBD\\u0000x\",\"ok\":\"ä\""), std::string::npos) << line;
  EXPECT_EQ(line.find('\n'), std::string::npos);
}

TEST(LogTest, LevelsHaveNames) {
  EXPECT_EQ(ParseLevel("warning").value(), Level::kWarning);
  EXPECT_THAT(ParseLevel("WARN"), testing::StatusIs(absl::StatusCode::kInvalidArgument,
                                                    ::testing::HasSubstr("debug, info")));
}

}  // namespace
}  // namespace dki::log
