// SPDX-License-Identifier: Apache-2.0
// Purpose: questions to whole stores of memories, with the memories that answer each: what
// retrieval is measured on.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "libs/base/status.h"
#include "libs/eval/suite.h"

namespace dki::eval {

struct StoreQuestion {
  std::string question;
  std::map<int, double> gold;       // index of a memory: how relevant it is, above 0
  std::string category;             // empty: the suite has none
  std::vector<std::string> recent;  // the turns before it, oldest first
  std::string answer = {};          // empty: the suite does not say
};

struct Store {
  std::string name;
  std::vector<ItemMemory> memories;
  std::vector<StoreQuestion> questions;  // each has gold
};

struct StoreSuite {
  std::string name;
  std::vector<Store> stores;
};

// Reads, by what `path` is:
//   *.jsonl   a line per store: `memories` [{id, text}], `questions` [{question, gold, category}];
//   *.json    SQuAD's form: every paragraph is a memory, its questions have it as gold;
//   a folder  BEIR's form: corpus.jsonl or corpus.jsonl.xz, queries.jsonl, qrels.tsv; a text is
//             "title. text".
// Questions without gold are left out, and LoCoMo's category 5 (questions without an answer).
// NOT_FOUND, INVALID_ARGUMENT with file and line.
absl::StatusOr<StoreSuite> ReadStoreSuite(const std::string& path);

// The questions that name somebody whom a fifth of their store's questions name, as they come in a
// conversation: the turn before has the name ("I was thinking about Ann."), the question says
// "they". "_leaning" is added to the suite's name. May have no questions.
StoreSuite LeanOnTurns(const StoreSuite& suite);

// Every question as the turn before, and then "Can you tell me more about that?". "_follow_up" is
// added to the suite's name.
StoreSuite AsFollowUps(const StoreSuite& suite);

// The same questions behind two others of the store, half and a third of the list away.
// "_after_others" is added to the suite's name.
StoreSuite AfterOtherTopics(const StoreSuite& suite);

}  // namespace dki::eval
