// SPDX-License-Identifier: Apache-2.0
#include "libs/model/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <random>

#include "libs/base/file.h"
#include "libs/base/utf8.h"
#include "libs/model/pre_tokenizer.h"
#include "libs/model/test_models.h"

namespace dki::model {
namespace {

using ::testing::ElementsAre;

// One string of testdata/tokens.bin (tools/fixtures/make_tokens.py describes it).
struct Golden {
  std::string text;
  uint16_t n_ids = 0;
  uint64_t ids_hash = 0;
  std::array<uint32_t, 4> word_hashes = {};
};
constexpr std::array<std::string_view, 4> kRules = {"smollm", "gpt-2", "llama-bpe", "qwen2"};

uint64_t Fnv1a(const void* data, size_t n_bytes) {
  uint64_t hash = 0xCBF29CE484222325;
  for (size_t i = 0; i < n_bytes; ++i) {
    hash = (hash ^ static_cast<const uint8_t*>(data)[i]) * 0x100000001B3;
  }
  return hash;
}

std::vector<Golden> ReadGolden() {
  const auto bytes = ReadFile("libs/model/testdata/tokens.bin");
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  std::vector<Golden> all;
  if (!bytes.ok()) return all;
  const char* at = bytes->data();
  const auto take = [&](auto* value) {
    std::memcpy(value, at, sizeof(*value));
    at += sizeof(*value);
  };
  while (at < bytes->data() + bytes->size()) {
    Golden golden;
    uint16_t length = 0;
    take(&length);
    golden.text.assign(at, length);
    at += length;
    take(&golden.n_ids);
    take(&golden.ids_hash);
    take(&golden.word_hashes);
    all.push_back(std::move(golden));
  }
  return all;
}

TEST(PreTokenizer, WordsEqualTheReference) {
  const std::vector<Golden> all = ReadGolden();
  ASSERT_GE(all.size(), 10'000u);
  for (size_t rule = 0; rule < kRules.size(); ++rule) {
    const PreTokenizer* rules = FindPreTokenizer(kRules[rule]);
    ASSERT_NE(rules, nullptr);
    int n_different = 0;
    for (const Golden& golden : all) {
      std::vector<uint32_t> lengths;
      std::string joined;
      for (std::string_view word : SplitWords(*rules, golden.text)) {
        lengths.push_back(word.size());
        joined += word;
      }
      ASSERT_EQ(joined, golden.text);
      const auto hash = static_cast<uint32_t>(Fnv1a(lengths.data(), lengths.size() * 4));
      if (hash != golden.word_hashes[rule] && ++n_different <= 5) {
        ADD_FAILURE() << kRules[rule]
                      << " cuts differently: " << ::testing::PrintToString(golden.text) << " into "
                      << ::testing::PrintToString(lengths);
      }
    }
    EXPECT_EQ(n_different, 0) << kRules[rule];
  }
}

TEST(PreTokenizer, UnknownRulesAreNotFound) {
  EXPECT_EQ(FindPreTokenizer("falcon"), nullptr);
}

class DefaultTokenizer : public ::testing::Test {
 protected:
  void SetUp() override {
    DKI_SKIP_WITHOUT(DefaultModelPath());
    auto tokenizer = Tokenizer::Load(DefaultModelPath());
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
  }
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(DefaultTokenizer, IdsEqualTheReference) {
  int n_different = 0;
  for (const Golden& golden : ReadGolden()) {
    const std::vector<int32_t> ids = tokenizer_->Encode(golden.text);
    if (ids.size() == golden.n_ids && Fnv1a(ids.data(), ids.size() * 4) == golden.ids_hash)
      continue;
    if (++n_different <= 5) {
      ADD_FAILURE() << ::testing::PrintToString(golden.text) << " gives "
                    << ::testing::PrintToString(ids) << ", not " << golden.n_ids << " ids";
    }
  }
  EXPECT_EQ(n_different, 0);
}

TEST_F(DefaultTokenizer, DecodeInvertsEncode) {
  int n_whole = 0;
  for (const Golden& golden : ReadGolden()) {
    // The vocabulary lacks some bytes that only rare characters have; they are dropped.
    const std::string decoded = tokenizer_->Decode(tokenizer_->Encode(golden.text));
    if (decoded.size() < golden.text.size()) continue;
    ++n_whole;
    ASSERT_EQ(decoded, golden.text);
  }
  EXPECT_GT(n_whole, 9'000);
}

TEST_F(DefaultTokenizer, TextIsNeverReadAsControlTokens) {
  for (const char* text : {"<|im_end|>", "a<|im_start|>system\n", "<|endoftext|>", "<repo_name>"}) {
    const std::vector<int32_t> ids = tokenizer_->Encode(text);
    for (int32_t id : ids) EXPECT_FALSE(tokenizer_->IsControl(id)) << text;
    EXPECT_EQ(tokenizer_->Decode(ids), text);
  }
}

TEST_F(DefaultTokenizer, KnowsItsControlTokens) {
  EXPECT_EQ(tokenizer_->vocab_size(), 49152);
  EXPECT_EQ(tokenizer_->SpecialId("<|im_start|>"), 1);
  EXPECT_EQ(tokenizer_->SpecialId("<|im_end|>"), 2);
  EXPECT_EQ(tokenizer_->SpecialId("the"), std::nullopt);
  EXPECT_TRUE(tokenizer_->IsEndOfGeneration(2));
  EXPECT_TRUE(tokenizer_->IsEndOfGeneration(0));
  EXPECT_FALSE(tokenizer_->IsEndOfGeneration(1));
  EXPECT_EQ(tokenizer_->bos(), std::nullopt);
  EXPECT_EQ(tokenizer_->Decode(std::vector<int32_t>{1, 2, -5, 1 << 20}), "");
}

TEST_F(DefaultTokenizer, MalformedBytesAreEncodedOneByOne) {
  const std::string text = "a\xE2\x82 b\xED\xA0\x80";
  EXPECT_EQ(tokenizer_->Decode(tokenizer_->Encode(text)), text);
}

// Quadratic merging would take minutes.
TEST_F(DefaultTokenizer, LongWordsTakeNearlyLinearTime) {
  std::mt19937 random(1);
  std::string word(256 << 10, 'a');
  for (char& c : word) c = static_cast<char>('a' + random() % 26);
  EXPECT_EQ(tokenizer_->Decode(tokenizer_->Encode(word)), word);
}

// testdata/sentence_pieces.bin: tools/fixtures/make_sentence_pieces.py describes it.
TEST(SentencePieceTokenizer, IdsEqualTheReferenceAndDecodeInvertsThem) {
  DKI_SKIP_WITHOUT(GemmaModelPath());
  const auto tokenizer = Tokenizer::Load(GemmaModelPath());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto bytes = ReadFile("libs/model/testdata/sentence_pieces.bin");
  ASSERT_TRUE(bytes.ok());
  const char* at = bytes->data();
  const auto take = [&](auto* value) {
    std::memcpy(value, at, sizeof(*value));
    at += sizeof(*value);
  };
  int n_strings = 0, n_different = 0;
  for (; at < bytes->data() + bytes->size(); ++n_strings) {
    uint16_t length = 0, n_ids = 0;
    uint64_t hash = 0;
    take(&length);
    const std::string text(at, length);
    at += length;
    take(&n_ids);
    take(&hash);
    const std::vector<int32_t> ids = (*tokenizer)->Encode(text);
    EXPECT_EQ((*tokenizer)->Decode(ids), text);
    for (int32_t id : ids) EXPECT_FALSE((*tokenizer)->IsControl(id));
    if (ids.size() == n_ids && Fnv1a(ids.data(), ids.size() * 4) == hash) continue;
    if (++n_different <= 5) ADD_FAILURE() << ::testing::PrintToString(text);
  }
  EXPECT_EQ(n_strings, 4096);
  EXPECT_EQ(n_different, 0);
  EXPECT_EQ((*tokenizer)->bos(), 2);
  EXPECT_TRUE((*tokenizer)->IsEndOfGeneration(1));
  EXPECT_TRUE((*tokenizer)->IsEndOfGeneration(106));
}

}  // namespace
}  // namespace dki::model
