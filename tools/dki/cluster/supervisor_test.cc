// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/cluster/supervisor.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include "libs/base/file.h"
#include "libs/testing/temp_dir.h"
#include "tools/dki/cluster/process.h"

namespace dki::cluster {
namespace {

// Polls; generous, since the machine may be busy.
bool Eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 2000; ++i) {
    if (condition()) return true;
    ::usleep(10'000);
  }
  return false;
}

nlohmann::json PartNamed(const Layout& layout, const std::string& name) {
  const auto text = ReadFile(layout.status());
  const auto json = nlohmann::json::parse(text.ok() ? *text : "", nullptr, false);
  if (json.is_object()) {
    for (const auto& part : json["parts"]) {
      if (part["name"] == name) return part;
    }
  }
  return {{"pid", 0}, {"restarts", -1}};
}

class SupervisorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    layout_.data = dir_.path();
    for (const char* folder : {"/run", "/log"})
      std::filesystem::create_directories(layout_.data + folder);
  }
  // Supervises in a child process, as the daemon does.
  void Start(const std::vector<Part>& parts) {
    supervisor_ = ::fork();
    if (supervisor_ == 0) ::_exit(Supervise(layout_, parts).ok() ? 0 : 1);
  }
  int StopAndWait() {
    ::kill(supervisor_, SIGTERM);
    int status = 0;
    ::waitpid(supervisor_, &status, 0);
    return status;
  }

  testing::TempDir dir_;
  Layout layout_;
  pid_t supervisor_ = 0;
};

TEST_F(SupervisorTest, RestartsWhatDiesAndStopsAllInTheEnd) {
  Start({{"first", {"/bin/sleep", "1000"}, SIGTERM, nullptr, nullptr},
         {"second", {"/bin/sleep", "1000"}, SIGTERM, nullptr, nullptr}});
  ASSERT_TRUE(Eventually([&] { return PartNamed(layout_, "second")["pid"] != 0; }));
  const pid_t before = PartNamed(layout_, "first")["pid"];
  const pid_t other = PartNamed(layout_, "second")["pid"];
  ::kill(before, SIGKILL);
  ASSERT_TRUE(Eventually([&] {
    const auto part = PartNamed(layout_, "first");
    return part["restarts"] == 1 && part["pid"] != 0 && part["pid"] != before;
  }));
  EXPECT_EQ(PartNamed(layout_, "first")["last_exit"], "killed by signal 9");
  EXPECT_EQ(PartNamed(layout_, "second")["pid"], other);
  const pid_t after = PartNamed(layout_, "first")["pid"];
  EXPECT_EQ(StopAndWait(), 0);
  EXPECT_FALSE(IsAlive(after));
  EXPECT_FALSE(IsAlive(other));
}

TEST_F(SupervisorTest, LaterPartsWaitForTheFirstReadiness) {
  const std::string marker = layout_.data + "/ready";
  Start({{"first",
          {"/bin/sleep", "1000"},
          SIGTERM,
          [marker] { return std::filesystem::exists(marker); },
          nullptr},
         {"second", {"/bin/sleep", "1000"}, SIGTERM, nullptr, nullptr}});
  ASSERT_TRUE(Eventually([&] { return PartNamed(layout_, "first")["pid"] != 0; }));
  EXPECT_EQ(PartNamed(layout_, "second")["pid"], 0);
  ASSERT_TRUE(WriteFileAtomically(marker, "").ok());
  EXPECT_TRUE(Eventually([&] { return PartNamed(layout_, "second")["pid"] != 0; }));
  EXPECT_EQ(StopAndWait(), 0);
}

TEST_F(SupervisorTest, WhatCannotRunIsTriedAgainAndHindersNobody) {
  Start({{"broken", {"/nonexistent/program"}, SIGTERM, nullptr, nullptr},
         {"second", {"/bin/sleep", "1000"}, SIGTERM, nullptr, nullptr}});
  ASSERT_TRUE(Eventually([&] { return PartNamed(layout_, "broken")["restarts"] >= 2; }));
  EXPECT_EQ(PartNamed(layout_, "broken")["last_exit"], "exit code 127");
  EXPECT_EQ(PartNamed(layout_, "second")["restarts"], 0);
  EXPECT_NE(PartNamed(layout_, "second")["pid"], 0);
  EXPECT_EQ(StopAndWait(), 0);
}

TEST_F(SupervisorTest, PartsStopInReverseOrderEachAfterTheOther) {
  const std::string order = layout_.data + "/order";
  const auto part = [&](const std::string& name) {
    return Part{name,
                {"/bin/sh", "-c",
                 "trap 'echo " + name + " >>" + order + "; exit 0' TERM; : >" + layout_.data + "/" +
                     name + "; while :; do sleep 0.02; done"},
                SIGTERM,
                nullptr,
                nullptr};
  };
  Start({part("first"), part("second"), part("third")});
  for (const char* name : {"first", "second", "third"}) {
    ASSERT_TRUE(Eventually([&] { return std::filesystem::exists(layout_.data + "/" + name); }));
  }
  EXPECT_EQ(StopAndWait(), 0);
  EXPECT_EQ(*ReadFile(order), "third\nsecond\nfirst\n");
}

TEST_F(SupervisorTest, WhatPartsWriteIsForThisUserAlone) {
  const std::string file = layout_.data + "/written";
  Start({{"writer",
          {"/bin/sh", "-c", "echo text >" + file + "; exec sleep 1000"},
          SIGTERM,
          nullptr,
          nullptr}});
  ASSERT_TRUE(Eventually([&] { return std::filesystem::exists(file); }));
  EXPECT_EQ(std::filesystem::status(file).permissions() & std::filesystem::perms(077),
            std::filesystem::perms::none);
  EXPECT_EQ(StopAndWait(), 0);
}

TEST_F(SupervisorTest, OneSupervisorPerFolder) {
  Start({{"first", {"/bin/sleep", "1000"}, SIGTERM, nullptr, nullptr}});
  ASSERT_TRUE(Eventually([&] { return PartNamed(layout_, "first")["pid"] != 0; }));
  EXPECT_EQ(Supervise(layout_, {}).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(StopAndWait(), 0);
}

TEST(ProcessTest, RunToEndGivesOutputOrTheError) {
  EXPECT_EQ(*RunToEnd({"/bin/echo", "a b"}), "a b\n");
  const auto failed = RunToEnd({"/bin/sh", "-c", "echo why >&2; exit 3"});
  ASSERT_FALSE(failed.ok());
  EXPECT_NE(std::string(failed.status().message()).find("why"), std::string::npos);
}

}  // namespace
}  // namespace dki::cluster
