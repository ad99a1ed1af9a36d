// SPDX-License-Identifier: Apache-2.0
// Purpose: what kind of answer a message asks for. Memory that is emphasised is repeated: right
//   where a fact is looked up, wrong where the memories are to be judged by ("Is Ana in Porto?"
//   wants yes or no, not the note on Ana). Pure function.
#pragma once

#include <string_view>

namespace dki::injection {

enum class QuestionKind {
  kLookup,     // what, who, where, ...; and everything else
  kJudgement,  // yes or no
};

// By the first word of the last sentence that ends with a question mark: an auxiliary verb asks for
// yes or no. English alone; questions in other languages are lookups.
QuestionKind ClassifyQuestion(std::string_view message);

// Whether the message asks for one thing as it is now ("Where is Ana?", "What's her number?"), so
// that a later note on it supersedes an earlier one. What may have several answers does not ("What
// is Ana allergic to?", "What are my hobbies?"), nor what was or is to be done ("Where did Ana
// travel?", "How do I ...?"), nor yes or no. In doubt it says no: an old note that stays harms less
// than one that is missed. By the words of the last question, or of the last sentence without one;
// English alone.
bool AsksForOneState(std::string_view message);

// Whether the message speaks of who writes it ("Where do I live?", "our dog"). Whoever asks an
// assistant about themselves asks for what they told it, however they word it. English alone.
bool SpeaksOfAsker(std::string_view message);

}  // namespace dki::injection
