// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/suite.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace dki::eval {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

absl::Status FieldError(const std::string& path, int line, const char* field) {
  return InvalidArgument("%s, line %d: \"%s\" is missing or of the wrong type", path, line, field);
}

bool ReadString(const Json& json, const char* field, std::string* out) {
  if (!json.contains(field) || !json[field].is_string()) return false;
  *out = json[field].get<std::string>();
  return true;
}

bool ReadSourceClass(const Json& memory, injection::SourceClass* out) {
  if (!memory.contains("source_class")) return true;
  static constexpr std::pair<std::string_view, injection::SourceClass> kNames[] = {
      {"user", injection::SourceClass::kUser},
      {"assistant", injection::SourceClass::kAssistant},
      {"document", injection::SourceClass::kDocument},
      {"tool", injection::SourceClass::kTool},
      {"operator", injection::SourceClass::kOperator}};
  for (const auto& [name, source_class] : kNames) {
    if (memory["source_class"] == name) {
      *out = source_class;
      return true;
    }
  }
  return false;
}

absl::StatusOr<Item> ParseItem(const Json& json, const std::string& path, int line) {
  Item item;
  if (!json.is_object()) return InvalidArgument("%s, line %d is not a JSON object", path, line);
  if (!ReadString(json, "id", &item.id)) return FieldError(path, line, "id");
  if (!ReadString(json, "question", &item.question)) return FieldError(path, line, "question");
  if (!ReadString(json, "answer", &item.answer)) return FieldError(path, line, "answer");
  if (json.contains("answer_prefix") && !ReadString(json, "answer_prefix", &item.answer_prefix)) {
    return FieldError(path, line, "answer_prefix");
  }
  for (const Json& memory : json.value("memories", Json::array())) {
    ItemMemory m;
    if (!memory.is_object() || !ReadString(memory, "id", &m.id) ||
        !ReadString(memory, "text", &m.text) || !ReadSourceClass(memory, &m.source_class)) {
      return FieldError(path, line, "memories");
    }
    item.memories.push_back(std::move(m));
  }
  if (json.contains("attack") && !ReadString(json, "attack", &item.attack)) {
    return FieldError(path, line, "attack");
  }
  if (json.value("owner", Json()) == "other_user") {
    for (const Json& id : json.value("poisoned", Json::array())) {
      for (ItemMemory& memory : item.memories) memory.is_foreign |= id == memory.id;
    }
  }
  const Json gold = json.value("gold", Json::array());
  if (!gold.is_array()) return FieldError(path, line, "gold");
  for (const Json& id : gold) {
    const auto found = std::find_if(item.memories.begin(), item.memories.end(),
                                    [&](const ItemMemory& m) { return id == m.id; });
    if (found != item.memories.end()) {
      item.gold.push_back(static_cast<int>(found - item.memories.begin()));
    }
  }
  if (json.contains("needed")) {
    if (!json["needed"].is_boolean()) return FieldError(path, line, "needed");
    item.needed = json["needed"].get<bool>();
  }
  for (const Json& message : json.value("history", Json::array())) {
    model::Message m;
    if (!message.is_object() || !ReadString(message, "role", &m.role) ||
        !ReadString(message, "content", &m.content)) {
      return FieldError(path, line, "history");
    }
    item.history.push_back(std::move(m));
  }
  return item;
}

// Whether the file's first line is an item (other kinds of suites lie in the same folder).
bool IsItemSuite(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return false;
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  return json.is_object() && json.contains("question") && json.contains("answer") &&
         json["answer"].is_string();
}

}  // namespace

absl::StatusOr<Suite> ReadSuite(const std::string& path, const ItemRange& range) {
  std::ifstream file(path);
  if (!file) return NotFound("there is no suite %s", path);
  Suite suite;
  suite.name = fs::path(path).stem().string();
  std::string text;
  int n_skipped = 0;
  for (int line = 1; std::getline(file, text); ++line) {
    if (range.n > 0 && static_cast<int>(suite.items.size()) == range.n) break;
    if (text.empty()) continue;
    if (n_skipped++ < range.skip) continue;
    DKI_ASSIGN_OR_RETURN(
        Item item, ParseItem(Json::parse(text, nullptr, /*allow_exceptions=*/false), path, line));
    suite.items.push_back(std::move(item));
  }
  if (suite.items.empty()) {
    return InvalidArgument("%s has no items behind the first %d", path, range.skip);
  }
  return suite;
}

Item VisiblePart(const Item& item) {
  Item visible = item;
  visible.memories.clear();
  visible.gold.clear();
  for (int i = 0; i < static_cast<int>(item.memories.size()); ++i) {
    if (item.memories[i].is_foreign) continue;
    if (std::ranges::find(item.gold, i) != item.gold.end()) {
      visible.gold.push_back(static_cast<int>(visible.memories.size()));
    }
    visible.memories.push_back(item.memories[i]);
  }
  return visible;
}

absl::StatusOr<std::vector<std::string>> FindSuites(const std::string& path) {
  std::error_code error;
  if (!fs::exists(path, error))
    return NotFound("there is no suite %s (evaluation data is found through DKI_DATA)", path);
  if (!fs::is_directory(path, error)) return std::vector<std::string>{path};
  std::vector<std::string> paths;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    if (entry.path().extension() == ".jsonl" && IsItemSuite(entry.path()))
      paths.push_back(entry.path().string());
  }
  if (paths.empty()) return NotFound("%s holds no suite", path);
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace dki::eval
