// SPDX-License-Identifier: Apache-2.0
// Purpose: facts for made items: who, what kind, which value; told and asked.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libs/eval/make_random.h"
#include "libs/eval/make_words.h"

namespace dki::eval {

// `pattern` with %n, %v and %t replaced.
std::string Fill(std::string_view pattern, std::string_view name, std::string_view value = "");

struct Fact {
  const FactKind* kind = nullptr;
  std::string_view name;
  std::string value;

  std::string Told() const { return Fill(kind->fact, name, value); }
  std::string Question() const { return Fill(kind->question, name); }
  std::string Prefix() const { return Fill(kind->prefix, name); }
};

// `n` facts, no two of the same name and kind, no value twice.
std::vector<Fact> DrawFacts(std::span<const FactKind> kinds, int n, Random* random);

// The item that asks for facts[asked]; asked < 0: memories alone, nothing asked, not needed.
nlohmann::ordered_json FactItem(const std::string& id, const std::vector<Fact>& facts, int asked);

}  // namespace dki::eval
