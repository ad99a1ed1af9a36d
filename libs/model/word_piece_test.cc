// SPDX-License-Identifier: Apache-2.0
#include "libs/model/word_piece.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "libs/base/file.h"
#include "libs/model/test_models.h"

namespace dki::model {
namespace {

using ::testing::ElementsAre;

constexpr size_t kNoLimit = 1 << 20;

class WordPieceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    DKI_SKIP_WITHOUT(DefaultEmbedderPath());
    auto tokenizer = WordPiece::Load(DefaultEmbedderPath() + "/vocab.txt");
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
  }
  std::unique_ptr<WordPiece> tokenizer_;
};

// testdata/word_pieces.bin (tools/fixtures/make_word_pieces.py), per string: u16 bytes, the bytes,
// u16 tokens, the ids as u16.
TEST_F(WordPieceTest, IdsEqualTheReference) {
  const std::string bytes = ReadFile("libs/model/testdata/word_pieces.bin").value();
  const char* at = bytes.data();
  const auto take = [&] {
    uint16_t value = 0;
    std::memcpy(&value, at, sizeof(value));
    at += sizeof(value);
    return value;
  };
  int n_strings = 0, n_different = 0;
  for (; at < bytes.data() + bytes.size(); ++n_strings) {
    const size_t length = take();
    const std::string text(at, length);
    at += length;
    std::vector<int32_t> expected(take());
    for (int32_t& id : expected) id = take();
    const std::vector<int32_t> ids = tokenizer_->Encode(text, kNoLimit);
    if (ids != expected && ++n_different <= 5) {
      ADD_FAILURE() << ::testing::PrintToString(text) << " gives " << ::testing::PrintToString(ids)
                    << ", not " << ::testing::PrintToString(expected);
    }
  }
  EXPECT_GE(n_strings, 1000);
  EXPECT_EQ(n_different, 0);
}

TEST_F(WordPieceTest, CutsAtTheLimit) {
  EXPECT_THAT(tokenizer_->Encode("Hello, world!", kNoLimit), ElementsAre(7592, 1010, 2088, 999));
  EXPECT_THAT(tokenizer_->Encode("Hello, world!", 3), ElementsAre(7592, 1010, 2088));
  EXPECT_THAT(tokenizer_->Encode("Hello", 0), ElementsAre());
}

TEST_F(WordPieceTest, MalformedBytesAreDropped) {
  EXPECT_EQ(tokenizer_->Encode("he\xFFllo\xE2\x82", kNoLimit),
            tokenizer_->Encode("hello", kNoLimit));
}

TEST(WordPiece, VocabularyMustHaveItsSpecialTokens) {
  EXPECT_EQ(WordPiece::Load("no/such/file").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(WordPiece::Load("LICENSE").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace dki::model
