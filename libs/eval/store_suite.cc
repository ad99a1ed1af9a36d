// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/store_suite.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <unordered_map>
#include <utility>

#include "libs/base/file.h"
#include "libs/eval/xz.h"

namespace dki::eval {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr int kAdversarial = 5;

Json Parse(std::string_view text) {
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

bool ReadString(const Json& json, const char* field, std::string* out) {
  if (!json.is_object() || !json.contains(field) || !json[field].is_string()) return false;
  *out = json[field].get<std::string>();
  return true;
}

absl::Status FieldError(const std::string& where, const char* field) {
  return InvalidArgument("%s: \"%s\" is missing or of the wrong type", where, field);
}

const Json& ArrayOf(const Json& json, const char* field) {
  static const Json none = Json::array();
  if (!json.is_object() || !json.contains(field) || !json[field].is_array()) return none;
  return json[field];
}

std::string CategoryName(int category) {
  const char* const names[] = {"multi-hop", "temporal", "open-domain", "single-hop"};
  const std::string number = std::to_string(category);
  return category >= 1 && category <= 4 ? number + " " + names[category - 1] : number;
}

absl::StatusOr<Store> ParseStore(const Json& json, const std::string& where) {
  Store store;
  if (!ReadString(json, "id", &store.name)) return FieldError(where, "id");
  std::unordered_map<std::string, int> index;
  for (const Json& memory : ArrayOf(json, "memories")) {
    ItemMemory m;
    if (!ReadString(memory, "id", &m.id) || !ReadString(memory, "text", &m.text)) {
      return FieldError(where, "memories");
    }
    index.emplace(m.id, static_cast<int>(store.memories.size()));
    store.memories.push_back(std::move(m));
  }
  for (const Json& question : ArrayOf(json, "questions")) {
    StoreQuestion q;
    if (!ReadString(question, "question", &q.question)) return FieldError(where, "questions");
    const int category = question.value("category", 0);
    if (category == kAdversarial) continue;
    if (category != 0) q.category = CategoryName(category);
    ReadString(question, "answer", &q.answer);
    for (const Json& id : ArrayOf(question, "gold")) {
      const auto found = id.is_string() ? index.find(id.get<std::string>()) : index.end();
      if (found == index.end()) {
        return InvalidArgument("%s: question \"%s\" has a gold that is no memory", where,
                               q.question);
      }
      q.gold[found->second] = 1;
    }
    if (!q.gold.empty()) store.questions.push_back(std::move(q));
  }
  if (store.questions.empty()) return InvalidArgument("%s has no questions with gold", where);
  return store;
}

absl::Status ReadStores(const std::string& path, StoreSuite* suite) {
  std::ifstream file(path);
  std::string text;
  for (int line = 1; std::getline(file, text); ++line) {
    if (text.empty()) continue;
    DKI_ASSIGN_OR_RETURN(Store store,
                         ParseStore(Parse(text), absl::StrFormat("%s, line %d", path, line)));
    suite->stores.push_back(std::move(store));
  }
  return absl::OkStatus();
}

absl::Status ReadParagraphs(const std::string& path, StoreSuite* suite) {
  DKI_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const Json json = Parse(text);
  Store store{.name = suite->name, .memories = {}, .questions = {}};
  for (const Json& article : ArrayOf(json, "data")) {
    for (const Json& paragraph : ArrayOf(article, "paragraphs")) {
      const int index = static_cast<int>(store.memories.size());
      ItemMemory memory{.id = std::to_string(index), .text = ""};
      if (!ReadString(paragraph, "context", &memory.text)) return FieldError(path, "context");
      store.memories.push_back(std::move(memory));
      for (const Json& qa : ArrayOf(paragraph, "qas")) {
        StoreQuestion q{.question = "", .gold = {{index, 1.0}}, .category = "", .recent = {}};
        if (!ReadString(qa, "question", &q.question)) return FieldError(path, "question");
        for (const Json& answer : ArrayOf(qa, "answers")) {
          if (ReadString(answer, "text", &q.answer)) break;
        }
        if (!qa.value("is_impossible", false)) store.questions.push_back(std::move(q));
      }
    }
  }
  if (store.questions.empty()) return InvalidArgument("%s has no questions", path);
  suite->stores.push_back(std::move(store));
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadCorpus(const fs::path& folder) {
  const fs::path plain = folder / "corpus.jsonl";
  if (fs::exists(plain)) return ReadFile(plain.string());
  const fs::path packed = folder / "corpus.jsonl.xz";
  DKI_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(packed.string()));
  auto text = DecompressXz(bytes);
  if (!text.ok()) return Annotate(text.status(), packed.string());
  return text;
}

absl::Status ReadBeir(const fs::path& folder, StoreSuite* suite) {
  Store store{.name = suite->name, .memories = {}, .questions = {}};
  std::unordered_map<std::string, int> index;
  std::unordered_map<std::string, size_t> question_of;
  DKI_ASSIGN_OR_RETURN(const std::string corpus, ReadCorpus(folder));
  std::istringstream documents(corpus);
  for (std::string line; std::getline(documents, line);) {
    const Json json = Parse(line);
    ItemMemory memory;
    std::string title, text;
    if (!ReadString(json, "_id", &memory.id) || !ReadString(json, "text", &text)) {
      return FieldError(folder.string(), "corpus");
    }
    const bool has_title = ReadString(json, "title", &title) && !title.empty();
    memory.text = has_title ? title + ". " + text : text;
    index.emplace(memory.id, static_cast<int>(store.memories.size()));
    store.memories.push_back(std::move(memory));
  }
  std::ifstream queries(folder / "queries.jsonl");
  for (std::string line; std::getline(queries, line);) {
    const Json json = Parse(line);
    StoreQuestion question;
    std::string id;
    if (!ReadString(json, "_id", &id) || !ReadString(json, "text", &question.question)) {
      return FieldError(folder.string(), "queries");
    }
    question_of.emplace(id, store.questions.size());
    store.questions.push_back(std::move(question));
  }
  std::ifstream judgements(folder / "qrels.tsv");
  std::string line;
  std::getline(judgements, line);  // the header
  while (std::getline(judgements, line)) {
    std::istringstream fields(line);
    std::string query, document;
    double relevance = 0;
    if (!(fields >> query >> document >> relevance)) {
      return InvalidArgument("%s/qrels.tsv: \"%s\" is no judgement", folder.string(), line);
    }
    if (relevance <= 0 || question_of.count(query) == 0) continue;
    const auto found = index.find(document);
    if (found == index.end()) {
      return InvalidArgument("%s/qrels.tsv: %s is not in the corpus", folder.string(), document);
    }
    store.questions[question_of[query]].gold[found->second] = relevance;
  }
  std::erase_if(store.questions, [](const StoreQuestion& q) { return q.gold.empty(); });
  if (store.questions.empty()) return InvalidArgument("%s has no questions", folder.string());
  suite->stores.push_back(std::move(store));
  return absl::OkStatus();
}

// A word's letters: "Ann's?" is "Ann".
std::string NameIn(const std::string& word) {
  size_t n = 0;
  while (n < word.size() && std::isalpha(static_cast<unsigned char>(word[n])) != 0) ++n;
  return word.substr(0, n);
}

std::vector<std::string> SplitAtSpaces(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

// Capitalised behind the first word in a fifth of the store's questions.
std::set<std::string> CommonNames(const Store& store) {
  std::map<std::string, size_t> count;
  for (const StoreQuestion& question : store.questions) {
    const std::vector<std::string> words = SplitAtSpaces(question.question);
    std::set<std::string> names;
    for (size_t i = 1; i < words.size(); ++i) {
      if (words[i][0] >= 'A' && words[i][0] <= 'Z') names.insert(NameIn(words[i]));
    }
    for (const std::string& name : names) ++count[name];
  }
  std::set<std::string> common;
  for (const auto& [name, n] : count) {
    if (5 * n >= store.questions.size()) common.insert(name);
  }
  return common;
}

// Puts "they" and "their" in the place of the names; returns those that were there.
std::vector<std::string> ReplaceNames(const std::set<std::string>& names, std::string* question) {
  std::vector<std::string> replaced;
  std::string text;
  for (const std::string& word : SplitAtSpaces(*question)) {
    const std::string name = NameIn(word);
    std::string out = word;
    if (names.count(name) > 0) {
      std::string rest = word.substr(name.size());
      const bool is_possessive = rest.starts_with("'s");
      if (is_possessive) rest = rest.substr(2);
      out = (is_possessive ? "their" : "they") + rest;
      if (std::find(replaced.begin(), replaced.end(), name) == replaced.end()) {
        replaced.push_back(name);
      }
    }
    text += (text.empty() ? "" : " ") + out;
  }
  *question = text;
  return replaced;
}

}  // namespace

StoreSuite LeanOnTurns(const StoreSuite& suite) {
  StoreSuite leaning{.name = suite.name + "_leaning", .stores = {}};
  for (const Store& store : suite.stores) {
    Store out{.name = store.name, .memories = store.memories, .questions = {}};
    const std::set<std::string> names = CommonNames(store);
    for (StoreQuestion question : store.questions) {
      const std::vector<std::string> replaced = ReplaceNames(names, &question.question);
      if (replaced.empty()) continue;
      std::string turn = "I was thinking about ";
      for (const std::string& name : replaced)
        turn += (&name == &replaced[0] ? "" : " and ") + name;
      question.recent = {turn + "."};
      out.questions.push_back(std::move(question));
    }
    if (!out.questions.empty()) leaning.stores.push_back(std::move(out));
  }
  return leaning;
}

StoreSuite AsFollowUps(const StoreSuite& suite) {
  StoreSuite follow_up = suite;
  follow_up.name += "_follow_up";
  for (Store& store : follow_up.stores) {
    for (StoreQuestion& question : store.questions) {
      question.recent = {std::exchange(question.question, "Can you tell me more about that?")};
    }
  }
  return follow_up;
}

StoreSuite AfterOtherTopics(const StoreSuite& suite) {
  StoreSuite after = suite;
  after.name += "_after_others";
  for (Store& store : after.stores) {
    const size_t n = store.questions.size();
    for (size_t i = 0; i < n; ++i) {
      store.questions[i].recent = {store.questions[(i + n / 2) % n].question,
                                   store.questions[(i + n / 3) % n].question};
    }
  }
  return after;
}

absl::StatusOr<StoreSuite> ReadStoreSuite(const std::string& path) {
  const fs::path at(path);
  if (!fs::exists(at)) {
    return NotFound("there is no suite %s (evaluation data is found through DKI_DATA)", path);
  }
  StoreSuite suite;
  if (fs::is_directory(at)) {
    suite.name = fs::path(path + "/").parent_path().filename().string();
    DKI_RETURN_IF_ERROR(ReadBeir(at, &suite));
  } else {
    suite.name = at.stem().string();
    DKI_RETURN_IF_ERROR(at.extension() == ".json" ? ReadParagraphs(path, &suite)
                                                  : ReadStores(path, &suite));
  }
  if (suite.stores.empty()) return InvalidArgument("%s has no stores", path);
  return suite;
}

}  // namespace dki::eval
