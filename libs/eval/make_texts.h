// SPDX-License-Identifier: Apache-2.0
// Purpose: item suites and gate suites out of texts with questions, so that what was found on one
//   set of items can be told on others of the same kind, and a team can measure its own texts:
//   stores of memories (store_suite.h), SQuAD's files, bAbI's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libs/base/status.h"
#include "libs/eval/make_suites.h"

namespace dki::eval {

struct TextOptions {
  uint64_t seed = 1;
  int items = 200;  // of each suite, at most
  // Of an item; 0: 8 of a store, at most 16 sentences of a story.
  int memories = 0;
  std::string name = {};      // of the suites, in place of the file's
  std::string category = {};  // of the store's questions; empty: all
  // Item suites, or folders of them, whose questions are left out.
  std::vector<std::string> without = {};
};

// By what `path` is:
//   *.txt            bAbI: NAME ("babi_qa1"), an item per question: the sentences before it;
//   other            a store suite: NAME_kK, an item per question that one memory answers, K - 1
//                    others of its store drawn beside it; and gate_NAME, half of which is such
//                    items, half the same questions with K others.
// The same files and options give the same bytes. NOT_FOUND; INVALID_ARGUMENT with what is wrong,
// also when no question is left, or a store has too few memories.
absl::StatusOr<std::vector<MadeSuite>> MakeFromTexts(const std::string& path,
                                                     const TextOptions& options);

}  // namespace dki::eval
