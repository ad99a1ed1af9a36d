// SPDX-License-Identifier: Apache-2.0
// Purpose: notes as people leave them with an assistant ("My car is a green Skoda."), and questions
//   that ask for them in other words ("What do I drive?"). Facts from templates share their words
//   with their questions; these often do not, so they tell whether a gate hears meaning as well.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace dki::eval {

struct PersonalNote {
  std::string_view note;
  std::string_view question;
  std::string_view answer;  // in the note
};

// No note answers another one's question.
std::span<const PersonalNote> PersonalNotes();

// JSON Lines of `items` items with six notes each. Items of the first half ask for the first half
// of PersonalNotes() alone, so that what is fitted on one half can be told on the other.
std::string MakeNotes(uint64_t seed, int items);
// Half of the items ask for a note; the rest are untold questions, instructions, unrelated
// questions and questions how to do something, an eighth each.
std::string MakeGateNotes(uint64_t seed, int items);

}  // namespace dki::eval
