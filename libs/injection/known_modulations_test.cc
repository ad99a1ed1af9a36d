// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/known_modulations.h"

#include <gmock/gmock.h>

#include "libs/injection/known_calibrations.h"
#include "libs/model/safetensors.h"
#include "libs/testing/status_matchers.h"

namespace dki::injection {
namespace {

constexpr char kDefaultModel[] = "2bacb05b3899f00f83861127609239488a128f9ec9929fa58c5192b3d8303db9";

TEST(KnownModulationTest, TheDefaultModelHasOneOfItsOwn) {
  const std::string_view bytes = KnownModulation(kDefaultModel);
  ASSERT_FALSE(bytes.empty());
  const auto file = model::SafetensorsFile::Parse(bytes);
  ASSERT_OK(file);
  EXPECT_NE(file->metadata().find(kDefaultModel), std::string_view::npos);
  // What is weighed by relevance is what it was trained for.
  EXPECT_NE(KnownCalibration(kDefaultModel), nullptr);
}

TEST(KnownModulationTest, OthersHaveNone) {
  EXPECT_TRUE(KnownModulation("").empty());
  EXPECT_TRUE(KnownModulation("beef").empty());
  model::ModelConfig config;
  config.fingerprint = "beef";
  EXPECT_EQ(LoadModulation("", config).value_or(nullptr), nullptr);
  config.fingerprint = kDefaultModel;
  EXPECT_EQ(LoadModulation("none", config).value_or(nullptr), nullptr);
  EXPECT_EQ(LoadModulation("/no/such/file", config).status().code(), absl::StatusCode::kNotFound);
  // The model's own does not fit a configuration of other shapes.
  EXPECT_EQ(LoadModulation("", config).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace dki::injection
