// SPDX-License-Identifier: Apache-2.0
#include "libs/search/duplicates.h"

#include <gmock/gmock.h>

namespace dki::search {
namespace {

using ::testing::ElementsAre;

TEST(SignatureTest, LooksPastWhatNeverChangesTheMeaning) {
  EXPECT_EQ(Signature("Ann's dog is called Biscuit."), Signature("ann's  dog is called BISCUIT"));
  EXPECT_EQ(Signature("She has the dog"), Signature("She has a dog!"));
}

TEST(SignatureTest, KeepsWhatMay) {
  const char* const different[][2] = {{"The code is 4931.", "The code is 4932."},
                                      {"Ann likes Bob.", "Bob likes Ann."},
                                      {"Ann works at Siemens.", "Ann worked at Siemens."},
                                      {"Ann likes tea.", "Ann does not like tea."},
                                      {"ab c", "a bc"}};
  for (const auto& pair : different) EXPECT_NE(Signature(pair[0]), Signature(pair[1])) << pair[0];
  EXPECT_EQ(Signature("?!"), 0u);
}

TEST(FirstOfEachTest, KeepsTheFirstAndAllWithoutWords) {
  const uint64_t signatures[] = {7, 8, 7, 0, 8, 0};
  EXPECT_THAT(FirstOfEach(signatures), ElementsAre(0, 1, 3, 5));
}

}  // namespace
}  // namespace dki::search
