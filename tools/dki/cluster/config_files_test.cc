// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/cluster/config_files.h"

#include <gmock/gmock.h>

#include "libs/base/file.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace dki::cluster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ConfigFilesTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(WriteConfigFiles(layout_, settings_)); }

  testing::TempDir folder_;
  const Layout layout_{folder_.path()};
  const ClusterSettings settings_{.models = "/models"};
};

TEST_F(ConfigFilesTest, WhatAUserEditsStays) {
  ASSERT_OK(WriteFileAtomically(layout_.config("kv"), "mine: 1\n", 0644));
  ASSERT_OK(WriteConfigFiles(layout_, settings_));
  ASSERT_OK_AND_ASSIGN(const std::string kept, ReadFile(layout_.config("kv")));
  EXPECT_EQ(kept, "mine: 1\n");
}

TEST_F(ConfigFilesTest, SettingsThatAnOlderFileLacksAreNamed) {
  EXPECT_THAT(MissingSettings(layout_, settings_), IsEmpty());
  ASSERT_OK_AND_ASSIGN(std::string file, ReadFile(layout_.config("kv")));
  const size_t at = file.find("encryption_key_file");
  ASSERT_NE(at, std::string::npos);
  file.insert(at, "# ");
  ASSERT_OK(WriteFileAtomically(layout_.config("kv"), file, 0644));
  EXPECT_THAT(MissingSettings(layout_, settings_), ElementsAre("kv.yaml: encryption_key_file"));
}

}  // namespace
}  // namespace dki::cluster
