// SPDX-License-Identifier: Apache-2.0
// Purpose: what is looked for: the question, and what the conversation said just before, where the
//   question alone does not say what it is about. Pure functions.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dki::search {

// A text and how much its words and its vector count.
struct WeightedText {
  std::string text;
  double weight = 1.0;

  friend bool operator==(const WeightedText&, const WeightedText&) = default;
};

struct ExpansionOptions {
  // A turn with this many content words or fewer leans on what came before; so does one that
  // points to something ("he", "that one") without a name of its own.
  int short_turn = 2;
  // The weight of the last turn before where the question leans on it in one of the two ways, and
  // in both ("tell me more about that").
  double weight = 0.5;
  double weight_of_both = 1.0;
  // Each older turn has this share of the weight of the one behind it.
  double decay = 0.5;
  int max_turns = 2;
};

// The question with weight 1, then the turns before it (`recent`, oldest first) that it needs,
// newest first. A question that stands by itself needs none, so an earlier topic cannot lead it
// astray.
std::vector<WeightedText> ExpandQuestion(std::string_view question,
                                         std::span<const std::string> recent,
                                         const ExpansionOptions& options = {});

// Stems by weight; a word in several texts has its largest.
using WordQuery = std::map<std::string, double>;
WordQuery MakeWordQuery(std::span<const WeightedText> texts);

// The mean of unit vectors by weight, of unit length again; the first one where they cancel out.
// REQUIRES: as many vectors as texts, at least one, all of one length.
std::vector<float> MeanVector(std::span<const WeightedText> texts,
                              std::span<const std::vector<float>> vectors);

}  // namespace dki::search
