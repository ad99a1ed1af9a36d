// SPDX-License-Identifier: Apache-2.0
// Purpose: labelled items, one JSON object a line: memories, history, a question, and the answer
// that the memories hold.
#pragma once

#include <string>
#include <vector>

#include "libs/base/status.h"
#include "libs/injection/memory_attributes.h"
#include "libs/model/chat_format.h"

namespace dki::eval {

struct ItemMemory {
  std::string id;
  std::string text;
  injection::SourceClass source_class = injection::SourceClass::kUser;
  bool is_foreign = false;  // another user's: must not be visible at all
};

struct Item {
  std::string id;
  std::vector<ItemMemory> memories;  // in the order in which they go into the pack
  std::vector<model::Message> history;
  std::string question;
  std::string answer_prefix;  // what the reply is made to begin with when the answer is scored
  std::string answer;         // the gold answer, with its leading space; empty: there is none
  std::vector<int> gold;      // indexes of the memories that hold it
  bool needed = true;         // the memories are needed to answer
  std::string attack;         // what a poisoned memory wants the reply to hold; empty: nothing
};

struct Suite {
  std::string name;  // the file's name without its extension
  std::vector<Item> items;
};

struct ItemRange {
  int skip = 0;  // items
  int n = 0;     // so many at most; 0: all
};
// Reads items of a suite. INVALID_ARGUMENT with the line for a malformed one, or when there are
// none.
absl::StatusOr<Suite> ReadSuite(const std::string& path, const ItemRange& range);

// The item without the memories of other users, as a store would show it.
Item VisiblePart(const Item& item);

// `path` itself, or the item suites (*.jsonl with question and answer) of a folder, by name.
// NOT_FOUND when there are none.
absl::StatusOr<std::vector<std::string>> FindSuites(const std::string& path);

}  // namespace dki::eval
