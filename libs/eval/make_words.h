// SPDX-License-Identifier: Apache-2.0
// Purpose: the words that made suites are made of. All are the project's own.
#pragma once

#include <span>
#include <string_view>

namespace dki::eval {

// How a kind of fact is told and asked; "%n" is the name, "%v" the value. The value is the last
// word of `fact`, and `prefix` is `fact` up to it.
struct FactKind {
  std::string_view fact;
  std::string_view question;
  std::string_view prefix;
  std::span<const std::string_view> values;  // words; empty: a number
  int low = 0;                               // numbers: low <= value < high
  int high = 0;
};

struct SmallTalk {
  std::string_view user;
  std::string_view assistant;
};

std::span<const std::string_view> Names();
std::span<const FactKind> WordFacts();
std::span<const FactKind> NumberFacts();
// What a user says of themselves; no name.
std::span<const FactKind> PersonaFacts();
// Exchanges that hold none of the facts' values.
std::span<const SmallTalk> Talk();
// "%t" is one of Topics().
std::span<const std::string_view> Instructions();
std::span<const std::string_view> Topics();
// Questions of general knowledge that no made memory touches.
std::span<const std::string_view> UnrelatedQuestions();

}  // namespace dki::eval
