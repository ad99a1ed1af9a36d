// SPDX-License-Identifier: Apache-2.0
// Purpose: a text as words: what the word index counts and what duplicates are compared by. Pure
// functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dki::search {

// The words of a text in order, in lower case: runs of letters, digits and marks; an apostrophe
// between letters stays, but "'s" goes. Ideographs and kana are words by themselves.
std::vector<std::string> Words(std::string_view text);

// Words that say something: without English stop words (articles, pronouns, question words, forms
// of be, do, have, ...), each as its stem (Snowball's English stemmer), so that "hikes" finds
// "hiking".
std::vector<std::string> ContentWords(std::string_view text);

bool IsStopWord(std::string_view word);
// he, she, they, it, this, that, there, one and their forms: words that stand for something said
// before.
bool IsPointingWord(std::string_view word);

}  // namespace dki::search
