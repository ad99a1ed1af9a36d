// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/make_texts.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/eval/make_random.h"
#include "libs/eval/store_suite.h"
#include "libs/eval/suite.h"

namespace dki::eval {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr int kStoreMemories = 8;
constexpr int kStorySentences = 16;
constexpr char kPrefix[] = "The answer is";

struct TextItem {
  std::vector<std::string> memories;
  std::string question;
  std::string prefix = kPrefix;
  std::string answer;  // empty: the memories do not hold it
  std::vector<int> gold;
};

// What tells items of one story apart.
std::string Whole(const std::vector<std::string>& memories, const std::string& question) {
  return absl::StrJoin(memories, "\n") + "\n\n" + question;
}

// Questions alone, and with all that they are asked of.
absl::StatusOr<std::set<std::string>> SeenQuestions(const std::vector<std::string>& suites) {
  std::set<std::string> seen;
  for (const std::string& path : suites) {
    DKI_ASSIGN_OR_RETURN(const std::vector<std::string> files, FindSuites(path));
    for (const std::string& file : files) {
      DKI_ASSIGN_OR_RETURN(const Suite suite, ReadSuite(file, {}));
      for (const Item& item : suite.items) {
        std::vector<std::string> memories;
        for (const ItemMemory& memory : item.memories) memories.push_back(memory.text);
        seen.insert(item.question);
        seen.insert(Whole(memories, item.question));
      }
    }
  }
  return seen;
}

std::string ToLine(const std::string& id, const TextItem& item) {
  Json memories = Json::array();
  for (size_t i = 0; i < item.memories.size(); ++i) {
    memories.push_back({{"id", "m" + std::to_string(i)}, {"text", item.memories[i]}});
  }
  Json json = {{"id", id}, {"memories", std::move(memories)}, {"history", Json::array()}};
  json["question"] = item.question;
  json["answer_prefix"] = item.prefix;
  json["answer"] = item.answer.empty() ? "" : " " + item.answer;
  json["gold"] = Json::array();
  for (const int i : item.gold) json["gold"].push_back("m" + std::to_string(i));
  json["needed"] = !item.gold.empty();
  json["kind"] = item.gold.empty() ? "answer not among the memories" : "needed";
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// Ids tell from which seed they come: items of several seeds may be reported together.
MadeSuite ToSuite(const std::string& name, uint64_t seed, const std::vector<TextItem>& items) {
  MadeSuite suite{.name = name, .lines = ""};
  for (size_t i = 0; i < items.size(); ++i) {
    suite.lines += ToLine(absl::StrFormat("%s-s%d-%04d", name, seed, i), items[i]);
  }
  return suite;
}

// `n` of the store's memories but `gold`; with it as well if asked for; in random order.
TextItem DrawItem(const Store& store, const StoreQuestion& question, int n, bool with_gold,
                  Random* random) {
  const int gold = question.gold.begin()->first;
  std::vector<int> others(store.memories.size());
  std::iota(others.begin(), others.end(), 0);
  others.erase(others.begin() + gold);
  random->Shuffle(&others);
  others.resize(n);
  if (with_gold) {
    others.back() = gold;
    random->Shuffle(&others);
  }
  TextItem item;
  item.question = question.question;
  for (const int i : others) {
    if (i == gold) item.gold.push_back(static_cast<int>(item.memories.size()));
    item.memories.push_back(store.memories[i].text);
  }
  if (with_gold) item.answer = question.answer;
  return item;
}

absl::StatusOr<std::vector<MadeSuite>> MakeFromStores(const std::string& path,
                                                      const TextOptions& options,
                                                      const std::set<std::string>& seen) {
  DKI_ASSIGN_OR_RETURN(const StoreSuite suite, ReadStoreSuite(path));
  const std::string name =
      options.name.empty() ? std::string(absl::StripPrefix(suite.name, "store_")) : options.name;
  const int n = options.memories > 0 ? options.memories : kStoreMemories;
  std::vector<std::pair<const Store*, const StoreQuestion*>> questions;
  for (const Store& store : suite.stores) {
    if (std::cmp_less_equal(store.memories.size(), n)) {
      return InvalidArgument("%s: store %s has %d memories; more than %d are needed", path,
                             store.name, store.memories.size(), n);
    }
    for (const StoreQuestion& question : store.questions) {
      if (question.gold.size() != 1 || question.answer.empty()) continue;
      if (!options.category.empty() && question.category != options.category) continue;
      if (!seen.contains(question.question)) questions.emplace_back(&store, &question);
    }
  }
  if (questions.empty()) return InvalidArgument("%s: no question with an answer is left", path);

  const std::string items_name = absl::StrFormat("%s_k%d", name, n);
  Random random(options.seed, items_name);
  random.Shuffle(&questions);
  std::vector<TextItem> items;
  for (const auto& [store, question] : questions) {
    if (std::cmp_equal(items.size(), options.items)) break;
    items.push_back(DrawItem(*store, *question, n, true, &random));
  }
  const std::string gate_name = "gate_" + name;
  Random gate_random(options.seed, gate_name);
  gate_random.Shuffle(&questions);
  std::vector<TextItem> gate;
  for (const auto& [store, question] : questions) {
    for (const bool with_gold : {true, false}) {
      if (std::cmp_equal(gate.size(), options.items)) break;
      gate.push_back(DrawItem(*store, *question, n, with_gold, &gate_random));
    }
  }
  return std::vector<MadeSuite>{ToSuite(items_name, options.seed, items),
                                ToSuite(gate_name, options.seed, gate)};
}

// "Where is the milk?": "The milk is in the".
std::string PrefixOf(const std::string& question) {
  absl::string_view rest = question;
  if (!absl::ConsumePrefix(&rest, "Where is ") || !absl::ConsumeSuffix(&rest, "?")) return kPrefix;
  std::string prefix(rest);
  prefix[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(prefix[0])));
  return prefix + " is in the";
}

// "qa1_single-supporting-fact_test": "babi_qa1".
std::string StoryName(const std::string& path) {
  const std::string stem = fs::path(path).stem().string();
  return "babi_" + stem.substr(0, stem.find('_'));
}

absl::StatusOr<std::vector<TextItem>> ReadStories(const std::string& path) {
  std::ifstream file(path);
  if (!file) return NotFound("there is no file %s", path);
  std::vector<TextItem> items;
  std::vector<std::string> told;
  std::map<int, int> place_of;  // by the line's number in its story
  std::string line;
  for (int n = 1; std::getline(file, line); ++n) {
    if (line.empty()) continue;
    const size_t space = line.find(' ');
    int number = 0;
    if (space == std::string::npos || !absl::SimpleAtoi(line.substr(0, space), &number)) {
      return InvalidArgument("%s, line %d does not begin with a number", path, n);
    }
    if (number == 1) {
      told.clear();
      place_of.clear();
    }
    const std::vector<std::string> fields = absl::StrSplit(line.substr(space + 1), '\t');
    if (fields.size() == 1) {
      place_of[number] = static_cast<int>(told.size());
      told.push_back(fields[0]);
      continue;
    }
    if (fields.size() != 3) return InvalidArgument("%s, line %d is no question", path, n);
    TextItem item;
    item.memories = told;
    item.question = std::string(absl::StripAsciiWhitespace(fields[0]));
    item.prefix = PrefixOf(item.question);
    item.answer = std::string(absl::StripAsciiWhitespace(fields[1]));
    for (const absl::string_view id : absl::StrSplit(fields[2], ' ', absl::SkipWhitespace())) {
      int supporting = 0;
      if (!absl::SimpleAtoi(id, &supporting) || !place_of.contains(supporting)) {
        return InvalidArgument("%s, line %d: %s is no sentence of its story", path, n,
                               std::string(id));
      }
      item.gold.push_back(place_of[supporting]);
    }
    items.push_back(std::move(item));
  }
  return items;
}

absl::StatusOr<std::vector<MadeSuite>> MakeFromStories(const std::string& path,
                                                       const TextOptions& options,
                                                       const std::set<std::string>& seen) {
  DKI_ASSIGN_OR_RETURN(std::vector<TextItem> items, ReadStories(path));
  const int most = options.memories > 0 ? options.memories : kStorySentences;
  std::erase_if(items, [&](const TextItem& item) {
    return item.gold.empty() || std::cmp_greater(item.memories.size(), most) ||
           seen.contains(Whole(item.memories, item.question));
  });
  if (items.empty()) {
    return InvalidArgument("%s: no question behind at most %d sentences is left", path, most);
  }
  const std::string name = options.name.empty() ? StoryName(path) : options.name;
  Random random(options.seed, name);
  random.Shuffle(&items);
  if (std::cmp_greater(items.size(), options.items)) items.resize(options.items);
  return std::vector<MadeSuite>{ToSuite(name, options.seed, items)};
}

}  // namespace

absl::StatusOr<std::vector<MadeSuite>> MakeFromTexts(const std::string& path,
                                                     const TextOptions& options) {
  if (options.items < 1 || options.items > 100'000)
    return InvalidArgument("items is %d; it must be from 1 to 100000", options.items);
  if (options.memories < 0 || options.memories > 64)
    return InvalidArgument("memories is %d; it must be from 1 to 64", options.memories);
  DKI_ASSIGN_OR_RETURN(const std::set<std::string> seen, SeenQuestions(options.without));
  return fs::path(path).extension() == ".txt" ? MakeFromStories(path, options, seen)
                                              : MakeFromStores(path, options, seen);
}

}  // namespace dki::eval
