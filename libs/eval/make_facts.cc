// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/make_facts.h"

#include <nlohmann/json.hpp>
#include <set>

namespace dki::eval {

std::string Fill(std::string_view pattern, std::string_view name, std::string_view value) {
  std::string text;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '%' || i + 1 == pattern.size()) {
      text += pattern[i];
      continue;
    }
    text += pattern[++i] == 'n' ? name : value;
  }
  return text;
}

std::vector<Fact> DrawFacts(std::span<const FactKind> kinds, int n, Random* random) {
  std::vector<Fact> facts;
  std::set<std::pair<const FactKind*, std::string_view>> asked;
  std::set<std::string> values;
  while (static_cast<int>(facts.size()) < n) {
    Fact fact;
    fact.kind = &kinds[random->Below(kinds.size())];
    fact.name = random->Pick(Names());
    fact.value =
        fact.kind->values.empty()
            ? std::to_string(fact.kind->low + random->Below(fact.kind->high - fact.kind->low))
            : std::string(random->Pick(fact.kind->values));
    if (asked.contains({fact.kind, fact.name}) || values.contains(fact.value)) continue;
    asked.insert({fact.kind, fact.name});
    values.insert(fact.value);
    facts.push_back(std::move(fact));
  }
  return facts;
}

nlohmann::ordered_json FactItem(const std::string& id, const std::vector<Fact>& facts, int asked) {
  using Json = nlohmann::ordered_json;
  Json memories = Json::array();
  for (size_t i = 0; i < facts.size(); ++i) {
    memories.push_back({{"id", "m" + std::to_string(i)}, {"text", facts[i].Told()}});
  }
  Json item = {{"id", id}, {"memories", memories}, {"history", Json::array()}};
  item["question"] = asked < 0 ? "" : facts[asked].Question();
  item["answer_prefix"] = asked < 0 ? "" : facts[asked].Prefix();
  item["answer"] = asked < 0 ? "" : " " + facts[asked].value;
  item["gold"] = Json::array();
  if (asked >= 0) item["gold"].push_back("m" + std::to_string(asked));
  item["needed"] = asked >= 0;
  return item;
}

}  // namespace dki::eval
