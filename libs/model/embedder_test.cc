// SPDX-License-Identifier: Apache-2.0
#include "libs/model/embedder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "libs/base/file.h"
#include "libs/model/test_models.h"

namespace dki::model {
namespace {

// testdata/embeddings.bin (tools/fixtures/make_embeddings.py), per text: u16 bytes, the bytes, 384
// float32.
struct Golden {
  std::vector<std::string> texts;
  std::vector<std::vector<float>> vectors;
};

Golden ReadGolden() {
  const std::string bytes = ReadFile("libs/model/testdata/embeddings.bin").value();
  Golden golden;
  for (const char* at = bytes.data(); at < bytes.data() + bytes.size();) {
    uint16_t length = 0;
    std::memcpy(&length, at, 2);
    golden.texts.emplace_back(at + 2, length);
    at += 2 + length;
    golden.vectors.emplace_back(384);
    std::memcpy(golden.vectors.back().data(), at, 384 * sizeof(float));
    at += 384 * sizeof(float);
  }
  return golden;
}

double Cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

class EmbedderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    DKI_SKIP_WITHOUT(DefaultEmbedderPath());
    auto embedder = Embedder::Load(DefaultEmbedderPath(), 2);
    ASSERT_TRUE(embedder.ok()) << embedder.status();
    embedder_ = *std::move(embedder);
  }
  std::unique_ptr<Embedder> embedder_;
};

TEST_F(EmbedderTest, VectorsEqualTheReference) {
  const Golden golden = ReadGolden();
  ASSERT_GE(golden.texts.size(), 100u);
  const auto vectors = embedder_->Embed(golden.texts);
  ASSERT_TRUE(vectors.ok()) << vectors.status();
  for (size_t i = 0; i < golden.texts.size(); ++i) {
    EXPECT_GE(Cosine((*vectors)[i], golden.vectors[i]), 0.9999) << golden.texts[i];
    double squares = 0;
    for (float x : (*vectors)[i]) squares += double{x} * x;
    EXPECT_NEAR(squares, 1.0, 1e-6);
  }
}

TEST_F(EmbedderTest, ATextDoesNotDependOnTheOthersNorOnThreads) {
  const Golden golden = ReadGolden();
  const auto together = embedder_->Embed(golden.texts).value();
  const auto one_thread = Embedder::Load(DefaultEmbedderPath(), 1).value();
  EXPECT_EQ(one_thread->fingerprint(), embedder_->fingerprint());
  for (size_t i = 0; i < golden.texts.size(); i += 7) {
    EXPECT_EQ(embedder_->Embed({golden.texts[i]}).value()[0], together[i]);
    EXPECT_EQ(one_thread->Embed({golden.texts[i]}).value()[0], together[i]);
  }
}

TEST_F(EmbedderTest, LongTextsAreCut) {
  std::string text;
  for (int i = 0; i < 254; ++i) text += "word ";
  const auto vectors = embedder_->Embed({text, text + "something else entirely", ""}).value();
  EXPECT_EQ(vectors[0], vectors[1]);
  EXPECT_NE(vectors[0], vectors[2]);
  EXPECT_EQ(embedder_->dimension(), 384);
  EXPECT_EQ(embedder_->fingerprint().size(), 64u);
  EXPECT_TRUE(embedder_->Embed({})->empty());
}

TEST(Embedder, FolderWithoutAModelIsNotFound) {
  EXPECT_EQ(Embedder::Load("no/such/folder", 1).status().code(), absl::StatusCode::kNotFound);
}

TEST(Embedder, HostileConfigurationIsRefused) {
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / "bert_config";
  std::filesystem::create_directories(folder);
  for (const char* config :
       {"", "[]", "{}", R"({"hidden_size": -1})", R"({"hidden_size": 1e300})",
        R"({"num_hidden_layers":1,"num_attention_heads":5,"hidden_size":12,"intermediate_size":4,)"
        R"("vocab_size":9,"max_position_embeddings":9,"type_vocab_size":1,"layer_norm_eps":0})"}) {
    std::ofstream(folder / "config.json") << config;
    EXPECT_EQ(Embedder::Load(folder, 1).status().code(), absl::StatusCode::kInvalidArgument)
        << config;
  }
}

}  // namespace
}  // namespace dki::model
